// Command screenshots serves a case and takes a picture of each of its pages,
// for docs/SCREENSHOTS.md and for whoever changes how pages look.
// `make screenshots` runs it on the demo.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/chromedp/cdproto/emulation"
	chromepage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"midwatch/internal/browsertest"
)

type options struct {
	bin, kase, out, only string
	format               string
	wide                 int64
	tall                 int64
	dark                 bool
}

// Who is shown in the pictures.
const (
	userName = "ana"
	password = "for pictures only"
)

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin/midwatch", "midwatch")
	flag.StringVar(&o.kase, "case", "demo.case", "case to serve")
	flag.StringVar(&o.out, "out", "docs/screenshots", "folder for the pictures")
	flag.StringVar(&o.only, "only", "", "only pages whose name begins so")
	flag.Int64Var(&o.wide, "width", 1280, "width of the window")
	flag.Int64Var(&o.tall, "height", 1000, "height of the window, which is what the picture shows")
	flag.StringVar(&o.format, "format", "webp", "webp or png")
	flag.BoolVar(&o.dark, "dark", false, "dark")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "midwatch-screenshots-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	users := filepath.Join(dir, "users")
	add := exec.CommandContext(ctx, o.bin, "user", "add", userName, "--users", users, "--role", "responder")
	add.Stdin = strings.NewReader(password + "\n")
	if said, err := add.CombinedOutput(); err != nil {
		return fmt.Errorf("user add: %w: %s", err, said)
	}
	server := exec.CommandContext(ctx, o.bin, "serve", o.kase, "--listen", "127.0.0.1:0", "--users", users)
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
	server.Stderr = os.Stderr
	said, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	defer func() { _ = server.Process.Signal(syscall.SIGTERM); _ = server.Wait() }()
	link := ""
	for s := bufio.NewScanner(said); link == "" && s.Scan(); {
		if x, ok := strings.CutPrefix(s.Text(), "Open:"); ok {
			link = strings.TrimSpace(x)
		}
	}
	if link == "" {
		return fmt.Errorf("%s serve printed no link", o.bin)
	}
	base := strings.TrimSuffix(link, "/")
	browser, end, err := browsertest.Open(ctx)
	if err != nil {
		return err
	}
	defer end()
	scheme := "light"
	if o.dark {
		scheme = "dark"
	}
	if _, err := chromedp.Call(browser, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}); err != nil {
		return err
	}
	err = chromedp.Do(browser,
		chromedp.EmulateViewport(o.wide, o.tall),
		chromedp.Navigate(link), chromedp.SendKeys("#name", userName), chromedp.SendKeys("#password", password), chromedp.Click(".credentials button"), chromedp.WaitVisible(".menu"))
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	at, err := chromedp.Run(browser, chromedp.Evaluate[string]("location.pathname"))
	if err != nil {
		return err
	}
	pages, err := pagesOf(o.kase, at)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	for _, p := range pages {
		if !strings.HasPrefix(p.name, o.only) {
			continue
		}
		steps := []chromedp.Action[chromedp.Void]{chromedp.Navigate(base + p.path), chromedp.WaitVisible("#main")}
		if p.press != "" {
			steps = append(steps, chromedp.Click(p.press), chromedp.Sleep(time.Second), chromedp.WaitVisible("#main"))
		}
		soon, cancel := context.WithTimeout(browser, time.Minute)
		err := chromedp.Do(soon, steps...)
		var b []byte
		if err == nil {
			var r chromepage.CaptureScreenshotResult
			r, err = chromedp.Call(soon, chromepage.CaptureScreenshot, chromepage.CaptureScreenshotParams{Format: chromepage.CaptureScreenshotFormat(o.format)})
			b = r.Data
		}
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", p.path, err)
		}
		name := filepath.Join(o.out, p.name+"."+o.format)
		if err := os.WriteFile(name, b, 0o644); err != nil {
			return err
		}
		fmt.Println(name)
	}
	return nil
}

type page struct{ name, path, press string }

// pagesOf are the pages of a case, with its gravest campaign and something of
// each kind in it.
func pagesOf(dir, base string) ([]page, error) {
	b, err := os.ReadFile(filepath.Join(dir, "case.json"))
	if err != nil {
		return nil, err
	}
	var c struct {
		Findings []struct {
			ID     string            `json:"id"`
			Series []json.RawMessage `json:"series"`
			Events []string          `json:"events"`
		} `json:"findings"`
		Campaigns []struct {
			ID        string `json:"id"`
			Mailboxes []struct {
				UPN    string   `json:"upn"`
				Events []string `json:"events"`
			} `json:"mailboxes"`
		} `json:"campaigns"`
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, err
	}
	at := strings.TrimSuffix(base, "/")
	out := []page{{"overview", at + "/", ""}, {"timeline", at + "/timeline", ""}, {"graph", at + "/graph", ""}, {"findings", at + "/findings", ""}, {"mailboxes", at + "/mailboxes", ""}, {"messages", at + "/messages", ""},
		{"records", at + "/records?class=mail_access&outcome=success", ""}, {"coverage", at + "/coverage", ""}, {"questions", at + "/questions?sql=" + "SELECT+mailbox%2C+certainty%2C+confirmed+FROM+mailboxes+ORDER+BY+confirmed+DESC", ".sql button"},
		{"work-campaigns", at + "/work/campaigns", ""}, {"work-containment", at + "/work/containment", ""}, {"work-secrets", at + "/work/secrets", ""}, {"work-notices", at + "/work/notices", ""}, {"work-clocks", at + "/work/clocks", ""}, {"work-journal", at + "/work/journal", ""}, {"report", at + "/report", ""}}
	for _, f := range c.Findings {
		if len(f.Series) > 0 {
			out = append(out, page{"finding", at + "/findings/" + f.ID, ""})
			break
		}
	}
	if len(c.Campaigns) > 0 {
		x := c.Campaigns[0]
		out = append(out, page{"campaign", at + "/campaigns/" + x.ID, ""})
		if len(x.Mailboxes) > 0 {
			out = append(out, page{"mailbox", at + "/mailboxes/" + x.ID + "/" + x.Mailboxes[0].UPN, ""})
			if len(x.Mailboxes[0].Events) > 0 {
				out = append(out, page{"record", at + "/records/" + x.Mailboxes[0].Events[0], ""})
			}
		}
	}
	return out, nil
}
