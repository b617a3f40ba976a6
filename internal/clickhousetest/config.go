package clickhousetest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A User is one more account of every node. Its name is of letters, digits
// and _. The embedded engine keeps no
// accounts of its own (CREATE USER fails with 514,
// ACCESS_STORAGE_FOR_INSERTION_NOT_FOUND), so all of them are named at start.
type User struct {
	Name, Password string
	// Grants are whole statements, as `GRANT SELECT ON test_*.*`; none is no
	// rights at all.
	Grants []string
	// Settings are those of the user's profile, as readonly or
	// max_memory_usage.
	Settings map[string]string
}

// configure writes the node's configuration.
func (n *Node) configure(o Options) error {
	for _, u := range o.Users {
		if !elementName(u.Name) {
			return fmt.Errorf("the user name %q cannot be written into the engine's XML: letters, digits and _ only", u.Name)
		}
	}
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(n.path("users.xml"), []byte(usersXML(o.Users)), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(n.path("config.xml"), []byte(n.configXML(o)), 0o644); err != nil {
		return err
	}
	// The engine merges config.d over config.xml, element by element.
	if err := os.MkdirAll(n.path("config.d"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(n.path("config.d/more.xml"), []byte("<clickhouse>"+o.Config+"</clickhouse>\n"), 0o644)
}

func (n *Node) configXML(o Options) string {
	memory := o.MaxMemory
	if memory == 0 {
		memory = 2 << 30
	}
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p(`<clickhouse>`)
	p(`<logger><level>information</level><log>%s</log></logger>`, escape(n.path("server.log")))
	p(`<listen_host>127.0.0.1</listen_host><tcp_port>%d</tcp_port><http_port>%d</http_port>`, n.native, n.http)
	p(`<display_name>%s</display_name>`, n.identity())
	p(`<macros><shard>%s</shard></macros>`, n.name)
	p(`<user_directories><users_xml><path>%s</path></users_xml></user_directories>`, escape(n.path("users.xml")))
	p(`<max_server_memory_usage>%d</max_server_memory_usage>`, memory)

	// Only what tests ask about is logged, and soon.
	p(`<query_log><database>system</database><table>query_log</table><flush_interval_milliseconds>500</flush_interval_milliseconds></query_log>`)

	// Caches and threads for a machine of two cores that runs other tests too.
	p(`<mark_cache_size>33554432</mark_cache_size><index_mark_cache_size>8388608</index_mark_cache_size>`)
	p(`<uncompressed_cache_size>0</uncompressed_cache_size><primary_index_cache_size>33554432</primary_index_cache_size>`)
	p(`<background_pool_size>2</background_pool_size><background_move_pool_size>1</background_move_pool_size>`)
	p(`<background_fetches_pool_size>1</background_fetches_pool_size><background_common_pool_size>2</background_common_pool_size>`)
	p(`<background_schedule_pool_size>8</background_schedule_pool_size>`)
	p(`<tables_loader_foreground_pool_size>2</tables_loader_foreground_pool_size><tables_loader_background_pool_size>2</tables_loader_background_pool_size>`)
	// The engine refuses merge settings that its pools could never satisfy.
	p(`<merge_tree>`)
	p(`<number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>`)
	p(`<number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>`)
	p(`<number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>`)
	p(`</merge_tree>`)

	// With a secret a shard runs its part of a query as the user who asked.
	p(`<remote_servers><%s><secret>midwatch</secret>`, n.cluster.Name)
	for _, peer := range n.cluster.Nodes {
		p(`<shard><internal_replication>true</internal_replication><replica><host>127.0.0.1</host><port>%d</port></replica></shard>`, peer.native)
	}
	p(`</%s></remote_servers>`, n.cluster.Name)
	if o.FullDisk {
		p(`<storage_configuration><disks><default><keep_free_space_bytes>%s</keep_free_space_bytes></default></disks></storage_configuration>`, neverFree)
	}
	p(`</clickhouse>`)
	return b.String()
}

// neverFree is more than any disk has, bytes.
const neverFree = "1152921504606846976"

// usersXML is the accounts and their profiles. The default profile undoes what
// the engine sets otherwise than a server does because it is embedded.
func usersXML(users []User) string {
	var profiles, accounts strings.Builder
	for _, u := range users {
		name := escape(u.Name)
		fmt.Fprintf(&profiles, "<%s><profile>default</profile>", name)
		for _, k := range slices.Sorted(maps.Keys(u.Settings)) {
			fmt.Fprintf(&profiles, "<%s>%s</%s>", k, escape(u.Settings[k]), k)
		}
		fmt.Fprintf(&profiles, "</%s>\n", name)
		sum := sha256.Sum256([]byte(u.Password))
		fmt.Fprintf(&accounts, "<%s><password_sha256_hex>%s</password_sha256_hex><networks><ip>::/0</ip></networks><profile>%s</profile><quota>default</quota><grants>",
			name, hex.EncodeToString(sum[:]), name)
		for _, g := range u.Grants {
			fmt.Fprintf(&accounts, "<query>%s</query>", escape(g))
		}
		if len(u.Grants) == 0 { // an empty list would be all rights
			accounts.WriteString("<query>REVOKE ALL ON *.*</query>")
		}
		fmt.Fprintf(&accounts, "</grants></%s>\n", name)
	}
	return `<clickhouse>
<profiles><default>
<allow_introspection_functions>0</allow_introspection_functions><implicit_select>0</implicit_select><storage_file_read_method>pread</storage_file_read_method>
</default>
` + profiles.String() + `</profiles>
<users>
<default><password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota><access_management>1</access_management><named_collection_control>1</named_collection_control></default>
` + accounts.String() + `</users>
<quotas><default></default></quotas>
</clickhouse>
`
}

// elementName is true of what can be the name of an XML element.
func elementName(s string) bool {
	for i, r := range s {
		switch {
		case r == '_', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
		case i > 0 && '0' <= r && r <= '9':
		default:
			return false
		}
	}
	return s != ""
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

func (n *Node) path(name string) string { return filepath.Join(n.dir, name) }
