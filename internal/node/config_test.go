package node

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
)

func TestDefaults(t *testing.T) {
	c := DefaultConfig()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if c.Data != "./gesta-data" || c.GRPC != "127.0.0.1:7070" || c.HTTP != "127.0.0.1:7080" || c.DrainTimeout != 15*time.Second || c.DiskFloor != 256<<20 {
		t.Fatalf("%+v", c)
	}
	if c.Limits.EventBytes != 1<<20 || c.Limits.IDWindow != 24*time.Hour {
		t.Fatalf("%+v", c.Limits)
	}
}

// Every setting's text reads back as the same setting, by each way to set it.
func TestEverySettingGoesRound(t *testing.T) {
	c := DefaultConfig()
	c.DiskFloor, c.DrainTimeout, c.Limits.EventBytes, c.LogLevel, c.Insecure = 300<<20, time.Minute, 12345, "debug", true
	var file strings.Builder
	env, flags := []string{}, map[string]string{}
	group := ""
	for _, f := range Fields() {
		env = append(env, f.Env()+"="+f.Get(&c))
		flags[f.Flag()] = f.Get(&c)
		head, rest, deep := strings.Cut(f.Name, ".")
		if deep && head != group {
			group = head
			file.WriteString(head + ":\n")
		}
		if deep {
			file.WriteString("  " + rest + ": " + yamlText(f.Get(&c)) + "\n")
		} else {
			file.WriteString(f.Name + ": " + yamlText(f.Get(&c)) + "\n")
		}
	}
	path := filepath.Join(t.TempDir(), "gesta.yaml")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for way, s := range map[string]Sources{"file": {File: path}, "environment": {Env: env}, "flags": {Flags: flags}} {
		got, err := LoadConfig(s)
		if err != nil {
			t.Fatalf("%s: %v", way, err)
		}
		if got != c {
			t.Errorf("%s:\n%+v\nwant\n%+v", way, got, c)
		}
	}
}

func yamlText(s string) string {
	if s == "" {
		return `""`
	}
	return s
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Fields() {
		for _, name := range []string{"file " + f.Name, "flag " + f.Flag(), "env " + f.Env()} {
			if seen[name] {
				t.Errorf("two settings share %s", name)
			}
			seen[name] = true
		}
		if f.Help == "" || strings.HasSuffix(f.Help, ".") {
			t.Errorf("%s: help %q", f.Name, f.Help)
		}
	}
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gesta.yaml")
	if err := os.WriteFile(path, []byte("log:\n  level: debug\ndrain_timeout: 1s\ndata: file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadConfig(Sources{File: path, Env: []string{"GESTA_LOG_LEVEL=warn", "GESTA_DRAIN_TIMEOUT=2s", "OTHER=1", "GESTA_ADDR=x"}, Flags: map[string]string{"log-level": "error"}})
	if err != nil || c.LogLevel != "error" || c.DrainTimeout != 2*time.Second || c.Data != "file" {
		t.Fatalf("%+v %v", c, err)
	}
}

func TestEmptyFileIsTheDefaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gesta.yaml")
	if err := os.WriteFile(path, []byte("# nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := LoadConfig(Sources{File: path}); err != nil || c != DefaultConfig() {
		t.Fatal(c, err)
	}
}

func TestBadFiles(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"unknown":          {"data: x\ndrain_timeot: 5s\n", `gesta.yaml:2: unknown setting "drain_timeot"; did you mean drain_timeout?`},
		"unknown in group": {"limits:\n  event_byte: 5\n", `:2: unknown setting "limits.event_byte"; did you mean limits.event_bytes?`},
		"nothing near":     {"colour: red\n", `:1: unknown setting "colour"`},
		"value":            {"\ndrain_timeout: soon\n", `:2: drain_timeout: "soon" is not a duration such as 15s`},
		"size":             {"disk_floor: 12parsecs\n", `:1: disk_floor: "12parsecs" is not a size`},
		"twice":            {"data: a\ndata: b\n", ":2: data is set a second time (first in line 1)"},
		"list":             {"data: [a, b]\n", ":1: data must be a single value (path)"},
		"not a mapping":    {"- a\n", ":1: the file must be a mapping"},
		"group as value":   {"limits: 5\n", ":1: limits must be a mapping"},
		"no yaml":          {"data: 'x\n", "line"},
		"wrong":            {"log:\n  level: loud\n", `log.level (--log-level) is "loud"; it must be one of debug, info, warn, error`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "gesta.yaml")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := LoadConfig(Sources{File: path})
			if errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v\nwant %s", errs.CodeOf(err), err, c.says)
			}
		})
	}
	if _, err := LoadConfig(Sources{File: "/nowhere/gesta.yaml"}); errs.CodeOf(err) != errs.NotFound {
		t.Error(err)
	}
}

func TestBadEnvironmentAndFlags(t *testing.T) {
	for says, s := range map[string]Sources{
		"unknown environment variable GESTA_DTA; did you mean GESTA_DATA?": {Env: []string{"GESTA_DTA=x"}},
		`environment variable GESTA_INSECURE: "maybe" is neither`:          {Env: []string{"GESTA_INSECURE=maybe"}},
		"unknown flag --drain-timeot; did you mean drain-timeout?":         {Flags: map[string]string{"drain-timeot": "1s"}},
		`--limits-shards: "many" is not a whole number`:                    {Flags: map[string]string{"limits-shards": "many"}},
	} {
		if _, err := LoadConfig(s); errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%v\nwant %s", err, says)
		}
	}
}

func TestValidate(t *testing.T) {
	cert, key := certificate(t)
	for name, c := range map[string]struct {
		change func(*Config)
		says   string // empty: it is fine
	}{
		"no data":              {func(c *Config) { c.Data = " " }, "data (--data) is empty"},
		"no port":              {func(c *Config) { c.GRPC = "localhost" }, "write HOST:PORT"},
		"large port":           {func(c *Config) { c.HTTP = "localhost:70700" }, "port must be"},
		"same port":            {func(c *Config) { c.HTTP = c.GRPC }, "its own port"},
		"free ports":           {func(c *Config) { c.GRPC, c.HTTP = "127.0.0.1:0", "127.0.0.1:0" }, ""},
		"small floor":          {func(c *Config) { c.DiskFloor = 1 }, "disk_floor (--disk-floor) is 1; it must be 64MiB or more"},
		"small memory":         {func(c *Config) { c.MemoryLimit = 1 }, "memory_limit"},
		"long drain":           {func(c *Config) { c.DrainTimeout = 2 * time.Hour }, "drain_timeout"},
		"format":               {func(c *Config) { c.LogFormat = "xml" }, "log.format"},
		"limit":                {func(c *Config) { c.Limits.EventBytes = 1 << 30 }, "event_bytes"},
		"public":               {func(c *Config) { c.GRPC = ":7070" }, "pass --insecure"},
		"public http":          {func(c *Config) { c.HTTP = "10.0.0.1:7080" }, "http (--http) is 10.0.0.1:7080"},
		"a name":               {func(c *Config) { c.GRPC = "db.example:7070" }, "pass --insecure"},
		"insecure":             {func(c *Config) { c.GRPC, c.Insecure = ":7070", true }, ""},
		"loopback":             {func(c *Config) { c.GRPC, c.HTTP = "[::1]:7070", "localhost:7080" }, ""},
		"TLS":                  {func(c *Config) { c.GRPC, c.TLSCert, c.TLSKey = ":7070", cert, key }, ""},
		"certificate alone":    {func(c *Config) { c.TLSCert = cert }, "tls.key"},
		"key alone":            {func(c *Config) { c.TLSKey = key }, "tls.cert"},
		"no certificate there": {func(c *Config) { c.TLSCert, c.TLSKey = "nowhere.pem", key }, "cannot be used"},
		"mixed up":             {func(c *Config) { c.TLSCert, c.TLSKey = key, cert }, "cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			conf := DefaultConfig()
			c.change(&conf)
			err := conf.Validate()
			if c.says == "" && err != nil || c.says != "" && (errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v, want %q", err, c.says)
			}
			if c.says != "" && errs.As(err).Details["field"] == "" {
				t.Errorf("no field is named: %v", err)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "65536": 65536, "64KiB": 65536, "1GiB": 1 << 30, "2 MiB": 2 << 20, "7B": 7, "1TiB": 1 << 40} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%s is %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5GiB", "9999999999TiB", "1MB", "1 2MiB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q was taken for %d", text, got)
		}
	}
	for _, n := range []int64{0, 1, 1023, 1024, 1 << 20, 3 << 30, 1<<20 + 1} {
		if got, err := parseSize(sizeText(n)); err != nil || got != n {
			t.Errorf("%d is written %s and read %d, %v", n, sizeText(n), got, err)
		}
	}
}

func TestLoggers(t *testing.T) {
	c := DefaultConfig()
	for format, isJSON := range map[string]bool{"auto": true, "json": true, "text": false} { // a buffer is no terminal
		c.LogFormat = format
		var out bytes.Buffer
		log := c.NewLogger(&out)
		log.Debug("hidden")
		log.Info("shown", "a", 1)
		if json.Valid(out.Bytes()) != isJSON || strings.Contains(out.String(), "hidden") {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}

func TestSettingsAreLoggedAndSecretsAreNot(t *testing.T) {
	c := DefaultConfig()
	c.Limits.EventBytes = 4096
	var out bytes.Buffer
	c.logSettings(slog.New(slog.NewTextHandler(&out, nil)))
	for _, want := range []string{"data=./gesta-data", "grpc=127.0.0.1:7070", "disk_floor=256MiB", "limits.event_bytes=4KiB", "limits_at_default="} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "limits.key_bytes") {
		t.Error("a limit at its default is shown")
	}
	secret := Field{Name: "token", Secret: true, Get: func(*Config) string { return "hush" }}
	if secret.Effective(&c) != "(hidden)" {
		t.Error("a secret is shown")
	}
}

func TestMemoryLimit(t *testing.T) {
	c := DefaultConfig()
	if got := c.memoryLimit(); got != 448<<20 {
		t.Errorf("%d MiB", got>>20)
	}
	if c.MemoryLimit = 1 << 30; c.memoryLimit() != 1<<30 {
		t.Error("the setting does not win")
	}
}

// certificate makes a self-signed one for 127.0.0.1.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
