package deploy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// Every setting that is used here is one that the product has.
func TestSettingsExist(t *testing.T) {
	known := map[string]bool{}
	for page, pattern := range map[string]string{
		"configuration": "flag: `--([a-z0-9-]+)`, environment: `(GESTA_[A-Z0-9_]+)`",
		"cli":           "In the environment: `((GESTA_[A-Z0-9_]+))`",
	} {
		text, err := os.ReadFile("../docs/reference/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			known[m[1]], known[m[2]] = true, true
		}
	}
	if !known["GESTA_INITIAL_MEMBERS"] {
		t.Skip("the product has no settings of clusters, so those of the chart and of the compose file cannot be looked for")
	}
	used := 0
	for _, place := range []string{"compose", "docker", "helm"} {
		err := filepath.WalkDir(place, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range regexp.MustCompile(`\b(GESTA_[A-Z_]+)\b|--([a-z-]+)=\S`).FindAllStringSubmatch(string(text), -1) {
				if used++; !known[m[1]] && !known[m[2]] && !others[m[1]+m[2]] {
					t.Errorf("%s: the product has no setting %s%s", path, m[1], m[2])
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if used < 20 {
		t.Errorf("only %d settings were looked for", used)
	}
}

// others look like settings of the server, and are not.
var others = map[string]bool{
	"GESTA_VERSION": true,               // of the compose file
	"platform":      true, "from": true, // of the Dockerfile
	"chown": true, "chmod": true, "interval": true, "timeout": true, "start-period": true, "retries": true,
	"addr": true, "tls-ca": true, // of the client's commands
}
