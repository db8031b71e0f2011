package embeddedpg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// childEnv tells a process that it is the child.
const childEnv = "PGWITNESS_EMBEDDED_POSTGRES_CHILD"

// Parent and child speak JSON, one object a line. The parent writes an order first and then commands to the child's
// standard input, the child writes reports to its standard output: progress while the archive is being fetched, then
// the answer to each command under its ID. The order itself has the ID 0.
type (
	order struct {
		Release   string            `json:"release"`
		CacheDir  string            `json:"cache_dir"`
		StandbyOf string            `json:"standby_of,omitempty"`
		Settings  map[string]string `json:"settings"`
	}
	command struct {
		ID   int    `json:"id"`
		Do   string `json:"do"` // start, stop or kill
		Mode Mode   `json:"mode,omitempty"`
	}
	report struct {
		ID       int       `json:"id"`
		Progress *progress `json:"progress,omitempty"`
		Address  *address  `json:"address,omitempty"` // the answer to an order
		Error    string    `json:"error,omitempty"`
	}
	progress struct {
		Received int64 `json:"received"`
		Total    int64 `json:"total"`
	}
	address struct {
		Port     int    `json:"port"`
		Password string `json:"password"`
		DataDir  string `json:"data_dir"`
		BinDir   string `json:"bin_dir"`
		LogFile  string `json:"log_file"`
	}
)

// closing is the ID under which a child reports what went wrong after its input was closed.
const closing = -1

// RunChild does nothing and returns false, except in the process that Start has made to own a server: there it
// returns true once the server has been stopped and its directory removed, and main must return without further ado.
// It belongs first in main, before flags are read or anything is written to standard output.
func RunChild() bool {
	if os.Getenv(childEnv) == "" {
		return false
	}
	runtime.LockOSThread()
	// The parent decides when the server stops. Received and dropped, not ignored: postgres would inherit that.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		// PGDATA, PGPORT, PGOPTIONS and their like would steer the server and the library's client.
		if strings.HasPrefix(name, "PG") && !strings.HasPrefix(name, "PGWITNESS_") {
			os.Unsetenv(name)
		}
	}
	c := &child{reports: json.NewEncoder(os.Stdout)}
	c.run(os.Stdin)
	return true
}

// child owns a server. All of it belongs to the goroutine of run.
type child struct {
	reports *json.Encoder
	address address
	work    *workDir
	server  *postmaster // nil while it is down
	stops   []int       // IDs of the commands that wait for its end
}

// run serves one parent until input ends.
func (c *child) run(input io.Reader) {
	decoder := json.NewDecoder(input)
	var o order
	if err := decoder.Decode(&o); err != nil {
		c.answer(0, fmt.Errorf("read the order: %w", err))
		return
	}
	// The end of the input interrupts whatever is under way. A reader that still blocks when run returns goes with
	// the process.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	commands := make(chan command)
	go func() {
		defer close(commands)
		defer cancel()
		for {
			var next command
			if decoder.Decode(&next) != nil {
				return
			}
			select {
			case commands <- next:
			case <-ctx.Done():
				return
			}
		}
	}()

	if err := c.create(ctx, o); err != nil {
		c.answer(0, errors.Join(err, c.close()))
		return
	}
	c.send(report{Address: &c.address})
	c.serve(ctx, commands)
	if err := c.close(); err != nil {
		c.answer(closing, err)
	}
}

// create installs the release, makes a cluster and starts the server.
func (c *child) create(ctx context.Context, o order) error {
	if err := os.Chdir(o.CacheDir); err != nil {
		return fmt.Errorf("user %d, who runs PostgreSQL, cannot reach the cache directory: %w", os.Getuid(), err)
	}
	in := &installation{cacheDir: o.CacheDir, release: o.Release, progress: c.progress}
	err := in.use(ctx, func(password string) error {
		var err error
		if c.work, err = claimWorkDir(ctx, filepath.Join(o.CacheDir, "run"), o.Release); err != nil {
			return err
		}
		c.address = address{
			Password: password,
			BinDir:   in.binDir(),
			DataDir:  filepath.Join(c.work.path, "data"),
			LogFile:  filepath.Join(c.work.path, "server.log"),
		}
		if o.StandbyOf != "" {
			return createStandby(o.StandbyOf, c.address.DataDir, o.Settings)
		}
		return createCluster(in.template(), c.address.DataDir, o.Settings)
	})
	if err != nil {
		return err
	}
	const tries = 10
	for range tries {
		if c.address.Port, err = freePort(); err != nil {
			return err
		}
		if err = c.start(ctx); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}

func (c *child) start(ctx context.Context) error {
	if c.server != nil {
		return errors.New("the server is running")
	}
	server, err := launch(c.address.BinDir, c.address.DataDir, c.address.Port, c.address.LogFile)
	if err != nil {
		return err
	}
	if err := server.awaitReady(ctx); err != nil {
		return err
	}
	c.server = server
	return nil
}

// serve carries out commands until there are no more.
func (c *child) serve(ctx context.Context, commands <-chan command) {
	for {
		var exited <-chan struct{}
		if c.server != nil {
			exited = c.server.exited
		}
		select {
		case <-exited:
			c.server = nil
			for _, id := range c.stops {
				c.answer(id, nil)
			}
			c.stops = nil
		case next, ok := <-commands:
			if !ok {
				return
			}
			c.do(ctx, next)
		}
	}
}

// signals is what pg_ctl sends for each mode.
var signals = map[Mode]syscall.Signal{
	Smart:     syscall.SIGTERM,
	Fast:      syscall.SIGINT,
	Immediate: syscall.SIGQUIT,
}

func (c *child) do(ctx context.Context, next command) {
	sig := syscall.SIGKILL
	switch next.Do {
	case "start":
		c.answer(next.ID, c.start(ctx))
		return
	case "stop":
		var ok bool
		if sig, ok = signals[next.Mode]; !ok {
			c.answer(next.ID, fmt.Errorf("no shutdown mode %q", next.Mode))
			return
		}
	case "kill":
	default:
		c.answer(next.ID, fmt.Errorf("no command %q", next.Do))
		return
	}
	if c.server == nil {
		c.answer(next.ID, nil)
		return
	}
	if err := c.server.signal(sig); err != nil {
		c.answer(next.ID, err)
		return
	}
	c.stops = append(c.stops, next.ID)
}

// close ends the server and removes what it wrote.
func (c *child) close() error {
	if c.server != nil {
		if err := c.server.destroy(); err != nil {
			return err
		}
	}
	if c.work == nil {
		return nil
	}
	return c.work.remove()
}

func (c *child) progress(received, total int64) {
	c.send(report{Progress: &progress{Received: received, Total: total}})
}

func (c *child) answer(id int, err error) {
	r := report{ID: id}
	if err != nil {
		r.Error = err.Error()
	}
	c.send(r)
}

// send drops what a parent that has gone will not read.
func (c *child) send(r report) {
	_ = c.reports.Encode(r)
}

// serverSettings are the parameters of a server for cfg.
func serverSettings(cfg Config) map[string]string {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": "",
		"wal_level":               "logical",
		"max_wal_senders":         "20",
		"max_replication_slots":   "20",
	}
	if !cfg.Fsync {
		settings["fsync"] = "off"
	}
	maps.Copy(settings, cfg.Settings)
	return settings
}
