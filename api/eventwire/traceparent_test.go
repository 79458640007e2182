package eventwire

import "testing"

func TestCheckTraceparent(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for given, want := range map[string]string{
		good:             good,
		" " + good + " ": good,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00":          "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01":          good,
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-and-more": good,
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.and.more": "",
		"":              "",
		good[:54]:       "",
		good + "-more":  "",
		good + "0":      "",
		"ff" + good[2:]: "",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01": "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": "",
		"00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01": "",
		"00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01": "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x": "",
	} {
		if got := CheckTraceparent(given); got != want {
			t.Errorf("%q is taken for %q, want %q", given, got, want)
		}
	}
}
