//go:build !linux

package hostile

import "testing"

func TestHostile(t *testing.T) {
	t.Skip("SKIPPED: nodes get namespaces of their own, which only Linux has")
}
