//go:build race

package index

// underRace thins out the tests that are long and have nothing that runs beside: the detector makes them twenty times slower.
const underRace = 12
