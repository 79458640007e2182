package node

import "fmt"

func fileNames() []string { return names(func(f Field) string { return f.Name }) }
func envNames() []string  { return names(Field.Env) }
func flagNames() []string { return names(Field.Flag) }

func names(of func(Field) string) []string {
	fields := Fields()
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = of(f)
	}
	return out
}

// didYouMean names the known word nearest to word, if one is near enough to be a slip of the fingers.
func didYouMean(word string, known []string) string {
	best, distance := "", max(2, len(word)/3)+1
	for _, k := range known {
		if d := editDistance(word, k); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// editDistance counts the insertions, deletions and replacements of bytes between a and b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
