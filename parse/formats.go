package parse

// Formats lists all formats in the order in which they are asked.
func Formats() []Format {
	return []Format{
		UAL{},
	}
}
