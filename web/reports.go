package web

import (
	"bytes"
	"net/http"
	"slices"
	"strings"

	"midwatch/report"
)

// The forms of a case, as midwatch report writes them.

type reportRow struct {
	Name, Doc string
	Files     []string
}

func (s *Server) reports(v *visit) error {
	var rows []reportRow
	for _, f := range report.Formats() {
		rows = append(rows, reportRow{f.Name(), f.Doc(), f.Files()})
	}
	return s.show(v, "reports", "report", "Report and exports", rows)
}

func (s *Server) reportFile(v *visit) error {
	i := slices.IndexFunc(report.Formats(), func(f report.Format) bool { return f.Name() == v.arg("format") })
	if i < 0 {
		return notFound("form of a report")
	}
	f, name := report.Formats()[i], v.arg("file")
	if !slices.Contains(f.Files(), name) {
		return notFound("file of this form")
	}
	// Written whole before it is sent: half a report is worse than none.
	var b bytes.Buffer
	if err := s.Report(v.r.Context(), &b, v.d.Dir, f, name); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/octet-stream")
	v.w.Header().Set("Content-Disposition", attachment(v.d.Name+"-"+name))
	_, _ = v.w.Write(b.Bytes())
	return nil
}

// back is where a form leads after it was carried out.
func back(v *visit, path string) {
	if !strings.HasPrefix(path, v.link().base+"/") {
		path = v.link().base + "/"
	}
	http.Redirect(v.w, v.r, path, http.StatusSeeOther)
}
