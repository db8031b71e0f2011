package embeddedpg

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// closeTimeout bounds Close. The child needs less even when the server has to be killed.
const closeTimeout = 3 * stopTimeout

// Server is a PostgreSQL server of ours. Its methods may be called from several goroutines.
type Server struct {
	cmd      *exec.Cmd
	stdin    io.Closer
	stderr   bytes.Buffer // the exec package writes it until done is closed
	address  address      // set before Start returns
	progress func(received, total int64)

	mu       sync.Mutex
	commands *json.Encoder       // guarded by mu
	lastID   int                 // guarded by mu
	pending  map[int]chan report // who waits for which answer; guarded by mu

	done    chan struct{} // closed when the child has gone
	failure error         // how the child ended; set before done is closed
}

// Start fetches and installs the server that cfg names, if need be, and runs it on a fresh cluster. It returns when the
// server accepts connections. When ctx ends before that, nothing stays behind but the cache; afterwards ctx has no
// influence. An error of the server's own holds the end of its log.
//
// The first start of a version takes the time to fetch 15 MB and some seconds, later ones well below a second.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	release, err := cfg.release()
	if err != nil {
		return nil, err
	}
	if runtime.GOOS == "windows" {
		return nil, errors.New("the embedded PostgreSQL does not run on Windows; offer an installed one with --dsn")
	}
	if os.Getenv(childEnv) != "" {
		// Without this, a program that forgets RunChild would start itself for ever.
		return nil, errors.New("embeddedpg.Start in the process that is to own a server: main must call embeddedpg.RunChild first and return when it returns true")
	}
	owner, err := serverAccount()
	if err != nil {
		return nil, err
	}
	cacheDir, err := locate(cfg.CacheDir, owner)
	if err != nil {
		return nil, fmt.Errorf("cache of the embedded PostgreSQL: %w", err)
	}
	s := &Server{
		progress: cfg.Progress,
		pending:  make(map[int]chan report),
		done:     make(chan struct{}),
	}
	if err := s.spawn(cacheDir, owner); err != nil {
		return nil, fmt.Errorf("start a process for PostgreSQL as user %d: %w", owner.uid, err)
	}
	answer, err := s.call(ctx, func(int) any {
		return order{Release: release, CacheDir: cacheDir, StandbyOf: cfg.StandbyOf, Settings: serverSettings(cfg)}
	})
	if err == nil && answer.Address == nil {
		err = errors.New("its process did not say where it is")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded PostgreSQL %s: %w", release, err), s.Close())
	}
	s.address = *answer.Address
	return s, nil
}

// spawn starts the child and the goroutine that listens to it.
func (s *Server) spawn(cacheDir string, owner account) error {
	// Through /proc the executable is reached whatever directory it lies in; go run and go test put it below one that
	// only its owner, root, can enter.
	executable := "/proc/self/exe"
	if runtime.GOOS != "linux" {
		var err error
		if executable, err = os.Executable(); err != nil {
			return err
		}
	}
	err := s.exec(executable, owner)
	if !errors.Is(err, syscall.EACCES) {
		return err
	}
	reachable, err := copyExecutable(cacheDir, owner)
	if err != nil {
		return err
	}
	return errors.Join(s.exec(reachable, owner), os.Remove(reachable))
}

func (s *Server) exec(executable string, owner account) error {
	s.cmd = exec.Command(executable)
	s.cmd.Args[0] = "embedded-postgres"
	s.cmd.Env = append(os.Environ(), childEnv+"=1")
	s.cmd.Stderr = &s.stderr
	detach(s.cmd, owner)
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.stdin = stdin
	s.commands = json.NewEncoder(stdin)
	go s.receive(stdout)
	return nil
}

// copyExecutable copies the running program to where owner can execute it.
func copyExecutable(dir string, owner account) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "child-"+strconv.Itoa(os.Getpid())+"-"+strconv.FormatInt(time.Now().UnixNano(), 36))
	// A process forked in between would hold the file open for writing, and what is written to cannot be executed.
	syscall.ForkLock.RLock()
	err = copyFile(self, path, 0o500)
	syscall.ForkLock.RUnlock()
	if err == nil {
		err = os.Lchown(path, owner.uid, owner.gid)
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(path))
	}
	return path, nil
}

// receive hands each report to who waits for it, until the child has gone.
func (s *Server) receive(stdout io.Reader) {
	defer close(s.done)
	decoder := json.NewDecoder(stdout)
	var failure error
	for {
		var r report
		if err := decoder.Decode(&r); err != nil {
			if err != io.EOF {
				failure = fmt.Errorf("its process does not report as embeddedpg.RunChild does (%w); does main call that first?", err)
				_ = s.cmd.Process.Kill() // fails when it has ended
			}
			break
		}
		switch {
		case r.Progress != nil:
			if s.progress != nil {
				s.progress(r.Progress.Received, r.Progress.Total)
			}
		case r.ID == closing:
			failure = errors.New(r.Error)
		default:
			s.mu.Lock()
			if waiter, ok := s.pending[r.ID]; ok {
				delete(s.pending, r.ID)
				waiter <- r
			}
			s.mu.Unlock()
		}
	}
	err := s.cmd.Wait()
	switch words := strings.TrimSpace(s.stderr.String()); {
	case err != nil:
		failure = errors.Join(failure, fmt.Errorf("its process ended: %w %s", err, words))
	case words != "":
		failure = errors.Join(failure, fmt.Errorf("its process ended: %s", words))
	}
	s.failure = failure
}

// call sends the message that compose makes for an ID and waits for its answer.
func (s *Server) call(ctx context.Context, compose func(id int) any) (report, error) {
	answer := make(chan report, 1)
	s.mu.Lock()
	id := s.lastID
	s.lastID++
	s.pending[id] = answer
	err := s.commands.Encode(compose(id))
	s.mu.Unlock()
	if err == nil {
		select {
		case r := <-answer:
			return r, r.err()
		case <-ctx.Done():
			return report{}, context.Cause(ctx)
		case <-s.done:
		}
	}
	<-s.done
	select {
	case r := <-answer:
		return r, r.err()
	default:
		return report{}, errors.Join(errors.New("the server was closed"), s.failure)
	}
}

func (r report) err() error {
	if r.Error == "" {
		return nil
	}
	return errors.New(r.Error)
}

func (s *Server) command(ctx context.Context, c command) error {
	_, err := s.call(ctx, func(id int) any {
		c.ID = id
		return c
	})
	if err != nil {
		return fmt.Errorf("%s the embedded PostgreSQL in %s: %w", c.Do, s.address.DataDir, err)
	}
	return nil
}

// Stop shuts the server down and returns when no process of it is left; a server that is down already is no error.
// When ctx ends first, the shutdown goes on; another Stop can then hasten it.
func (s *Server) Stop(ctx context.Context, mode Mode) error {
	return s.command(ctx, command{Do: "stop", Mode: mode})
}

// Kill sends SIGKILL to the server's first process and returns when the others have noticed and gone.
func (s *Server) Kill(ctx context.Context) error {
	return s.command(ctx, command{Do: "kill"})
}

// Start starts the server again after Stop or Kill, on the same port and data, and returns when it accepts connections.
func (s *Server) Start(ctx context.Context) error {
	return s.command(ctx, command{Do: "start"})
}

// Restart is Stop and Start.
func (s *Server) Restart(ctx context.Context, mode Mode) error {
	if err := s.Stop(ctx, mode); err != nil {
		return err
	}
	return s.Start(ctx)
}

// Close stops the server immediately, removes its directory and returns when both are gone. It may be called again.
func (s *Server) Close() error {
	// Fails only when it is closed already.
	_ = s.stdin.Close()
	select {
	case <-s.done:
	case <-time.After(closeTimeout):
		// On Linux the kernel stops the server then, and the next start removes the directory.
		_ = s.cmd.Process.Kill() // fails when it has ended
		<-s.done
	}
	return s.failure
}

// DSN returns a URL for the superuser's connection to database. It holds a password: it belongs in an environment
// variable or a file rather than in a command line.
func (s *Server) DSN(database string) string {
	dsn := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, s.address.Password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.address.Port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return dsn.String()
}

// Port returns the TCP port on 127.0.0.1. It stays the same over restarts.
func (s *Server) Port() int { return s.address.Port }

// DataDir returns the data directory. Only the user the server runs under and root can read it.
func (s *Server) DataDir() string { return s.address.DataDir }

// BinDir returns the directory of postgres, initdb and pg_ctl.
func (s *Server) BinDir() string { return s.address.BinDir }

// LogFile returns the file that the server logs to.
func (s *Server) LogFile() string { return s.address.LogFile }
