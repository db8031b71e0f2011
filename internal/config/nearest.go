package config

import (
	"strings"

	"github.com/agnivade/levenshtein"
)

// Nearest returns the candidate with the smallest edit distance to word, the first of equals, for a "did you mean". It
// returns "" when there is no candidate.
func Nearest(word string, candidates []string) string {
	return nearestBy(candidates, func(candidate string) int { return levenshtein.ComputeDistance(word, candidate) })
}

// nearestKey is Nearest for keys: a right name in a wrong section is as near as two letters.
func nearestKey(key string, candidates []string) string {
	return nearestBy(candidates, func(candidate string) int {
		return min(
			levenshtein.ComputeDistance(key, candidate),
			levenshtein.ComputeDistance(lastPart(key), lastPart(candidate))+2,
		)
	})
}

func nearestBy(candidates []string, distance func(string) int) string {
	best, bestDistance := "", 0
	for _, candidate := range candidates {
		if d := distance(candidate); best == "" || d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

func lastPart(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }
