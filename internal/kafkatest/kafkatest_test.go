package kafkatest

import "testing"

// A broker starts, and starts again after it was killed.
func TestStart(t *testing.T) {
	b := Start(t)
	b.Kill()
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}
