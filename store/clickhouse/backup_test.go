package clickhouse

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"midwatch/internal/clickhousetest"
)

// What docs/OPERATIONS.md says of the server's own backups: the database of
// each node comes back, a load that was open is not seen, and what came
// afterwards is read again without being counted twice.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c := clickhousetest.Start(t, clickhousetest.Options{Nodes: 2, Config: "<storage_configuration><disks><backups><type>local</type><path>" + dir + "/</path></backups></disks></storage_configuration>" +
		"<backups><allowed_disk>backups</allowed_disk></backups>"})
	both(t, c, func(t *testing.T, p place) {
		s := p.open(t, "", nil)
		if err := loadEvents(t.Context(), s, 100); err != nil {
			t.Fatal(err)
		}
		open, err := begun(t.Context(), s, 120)
		if err != nil {
			t.Fatal(err)
		}
		nodes := p.nodes
		if !p.cluster {
			nodes = nodes[:1]
		}
		file := func(n *clickhousetest.Node) string {
			return fmt.Sprintf("Disk('backups', '%s-%s')", p.database, n.Name())
		}
		for _, n := range nodes {
			if _, err := n.Query(t.Context(), "BACKUP DATABASE "+p.database+" TO "+file(n)); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dir, p.database+"-"+n.Name())); err != nil {
				t.Error(err)
			}
		}
		commit(t, open)
		p.holds(t, 120)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes { // the loss
			if _, err := n.Query(t.Context(), "DROP DATABASE "+p.database+" SYNC"); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range nodes {
			if _, err := n.Query(t.Context(), "RESTORE DATABASE "+p.database+" FROM "+file(n)); err != nil {
				t.Fatal(err)
			}
		}
		p.holds(t, 100)
		s = p.open(t, "", nil)
		if err := loadEvents(t.Context(), s, 150); err != nil {
			t.Fatal(err)
		}
		p.holds(t, 150)
		if problems, err := s.Check(t.Context()); err != nil || len(problems) > 0 {
			t.Errorf("check: %+v %v", problems, err)
		}
	})
}
