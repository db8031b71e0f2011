//go:build chromium

package page

import (
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"pgwitness/internal/witnesstest"
)

var update = flag.Bool("update", false, "write docs/page.png and docs/page-alarm.png, after two minutes of the demo")

// TestPicture looks at the demo's shop, as the pictures in docs show it: all well, and with a sink that is broken.
func TestPicture(t *testing.T) {
	dir, well, broken := t.TempDir(), 5*time.Second, 2*time.Second
	if *update {
		dir, well, broken = filepath.Join("..", "..", "..", "docs"), 115*time.Second, 45*time.Second
	}
	s := newShop(t)
	p := open(t, s.url)
	p.do(chromedp.EmulateViewport(1280, 1080))
	p.await(`document.querySelectorAll("#events tr").length === 50`, soon)
	look := func(file, scheme string, after time.Duration) {
		t.Helper()
		call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		eval[bool](p, fmt.Sprintf(`new Promise((resolve) => setTimeout(() => resolve(true), %d))`, after.Milliseconds()))
		picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if len(picture) > 200<<10 {
			t.Errorf("%s has %d bytes, which is more than a README should load", file, len(picture))
		}
		if err := os.WriteFile(filepath.Join(dir, file), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	look("page.png", "light", well)
	if !eval[bool](p, `!document.querySelector("#well").hidden`) {
		t.Errorf("something is wrong: %s", eval[string](p, text("#alarms")))
	}
	s.breakSink(t)
	p.await(`[...document.querySelectorAll("#alarms strong")].some((e) => e.textContent.includes("offsite"))`, seen)
	look("page-alarm.png", "dark", broken)
	s.mendSink(t)
	p.await(`document.querySelector("#alarms").children.length === 0`, soon)
}

// newShop is a site that follows the demo's database beside the demo's own consumer, with two sinks.
func newShop(t *testing.T) *site {
	t.Helper()
	s := newSite(t, "archive")
	s.process.Kill()
	dsn, err := url.Parse(s.Server.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := dsn.User.Password()
	dsn.User = url.User(dsn.User.Username())
	demo := exec.Command(witnesstest.Binary(t), "demo", "--dsn", dsn.String(), "--rate", "120", "--listen", "off")
	demo.Env = append(os.Environ(), "PGPASSWORD="+password)
	var said strings.Builder
	demo.Stderr = &said
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.process.Kill()
		_ = demo.Process.Signal(os.Interrupt)
		if err := demo.Wait(); err != nil {
			t.Errorf("the demo: %v\n%s", err, said.String())
		}
	})
	s.Await(t, "count(*) = 1 FROM pg_replication_slots WHERE slot_name = 'pgwitness_demo' AND active", soon)
	s.Name = "pgwitness_demo"
	// The seed's trigger says nothing of deleted rows, which pgwitness warns of. The pictures are of another warning.
	s.Exec(t, "DROP TRIGGER custom_audit_trigger ON your_table")
	s.Exec(t, "SELECT pg_create_logical_replication_slot('pgwitness', 'pgoutput')")
	s.config = witnesstest.Config{
		DSN: s.AdminDSN(), Slot: "pgwitness", Publication: "pgwitness_demo", Dir: t.TempDir(),
		Environ: append(s.config.Environ, showEvents, "PGWITNESS_SOURCE_NAME=shop"),
	}
	// Its name is in the picture, and t.TempDir's are not fit to be seen.
	if s.dir, err = os.MkdirTemp("", "offsite-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(s.dir) })
	s.config.Sinks = "[{type: file, name: archive, path: '" + filepath.Join(s.config.Dir, "audit.jsonl") + "'}, " +
		"{type: file, name: offsite, path: '" + filepath.Join(s.dir, "audit.jsonl") + "'}]"
	s.start(t)
	return s
}
