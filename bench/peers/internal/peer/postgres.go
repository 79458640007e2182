package peer

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/gesta-db/gesta/bench/peers/internal/load"
	"github.com/gesta-db/gesta/bench/peers/internal/process"
)

// postgres inserts each event in a transaction of its own, with a connection per caller and a prepared statement.
type postgres struct {
	server *process.Server
	url    string
	conns  []*pgx.Conn
}

const (
	pgTable = `create table events (
		stream text not null, version bigint not null, type text not null, data bytea not null,
		primary key (stream, version))`
	pgInsert = `insert into events (stream, version, type, data) values ($1, $2, $3, $4)`
)

// pgSettings are the defaults but for what a machine of this size gives it: fsync, synchronous_commit and full_page_writes stay
// on. The WAL may grow so that no checkpoint falls into a run.
const pgSettings = `
listen_addresses = '127.0.0.1'
port = %s
unix_socket_directories = ''
max_connections = %d
shared_buffers = 512MB
max_wal_size = 4GB
fsync = on
synchronous_commit = on
`

// PostgresBin finds the folder with PostgreSQL's programs; "" without one.
func PostgresBin() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	slices.SortFunc(found, func(a, b string) int { return major(b) - major(a) })
	if at := slices.IndexFunc(found, func(s string) bool { return major(s) == 15 }); at >= 0 {
		return filepath.Dir(found[at])
	}
	if len(found) > 0 {
		return filepath.Dir(found[0])
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path)
	}
	return ""
}

func major(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

func openPostgres(ctx context.Context, s Setup) (Peer, error) {
	bin := PostgresBin()
	if bin == "" {
		return nil, fmt.Errorf("PostgreSQL is not installed: apt-get install postgresql-15")
	}
	as, err := ordinaryUser()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(s.Dir, "postgres")
	if err := initdb(ctx, bin, data, as); err != nil {
		return nil, err
	}
	addr, err := local()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	config, err := writeFile(s.Dir, "postgresql.conf", fmt.Sprintf(pgSettings, port, s.Callers+10))
	if err != nil {
		return nil, err
	}
	server, err := process.Start(process.Spec{
		Path: filepath.Join(bin, "postgres"), Args: []string{"-D", data, "-c", "config_file=" + config},
		Dir: s.Dir, User: as, Stop: syscall.SIGINT, // SIGTERM would wait for clients
	})
	if err != nil {
		return nil, err
	}
	p := &postgres{server: server, url: fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", addr)}
	if err := p.connect(ctx, s.Callers); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// ordinaryUser is whom the server runs as: ourselves, or, as it refuses root, its own account.
func ordinaryUser() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root and there is no account named postgres: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

func initdb(ctx context.Context, bin, data string, as *syscall.Credential) error {
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale")
	cmd.Dir = filepath.Dir(data)
	if as != nil {
		if err := os.Chown(data, int(as.Uid), int(as.Gid)); err != nil {
			return err
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (p *postgres) connect(ctx context.Context, callers int) error {
	err := answer(ctx, p.server, func(ctx context.Context) error { return p.dial(ctx) })
	if err != nil {
		return err
	}
	if _, err := p.conns[0].Exec(ctx, pgTable); err != nil {
		return err
	}
	for len(p.conns) < callers {
		if err := p.dial(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (p *postgres) dial(ctx context.Context) error {
	c, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return err
	}
	p.conns = append(p.conns, c)
	return nil
}

func (p *postgres) Callers() []load.Caller {
	callers := make([]load.Caller, len(p.conns))
	data := payloads()
	each := streams / len(p.conns)
	for i, conn := range p.conns {
		n := 0
		callers[i] = func(ctx context.Context) error {
			stream := fmt.Sprintf("stream-%06d", i*each+n%each)
			version := int64(n/each) + 1
			_, err := conn.Exec(ctx, pgInsert, stream, version, "Appended", data[n%len(data)])
			n++
			return err
		}
	}
	return callers
}

func (p *postgres) Kept(ctx context.Context) (n uint64, err error) {
	err = p.conns[0].QueryRow(ctx, "select count(*) from events").Scan(&n)
	return n, err
}

func (p *postgres) Pids() []int { return []int{p.server.Pid()} }

func (p *postgres) Close() {
	for _, c := range p.conns {
		c.Close(context.Background())
	}
	p.server.Stop()
}
