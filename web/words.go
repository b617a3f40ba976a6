package web

import (
	"strconv"

	"midwatch/casefile"
	"midwatch/report"
)

// The words of the report, for what is put together here.

func fn[A, B any](name string) func(A) B { return report.Funcs()[name].(func(A) B) }

func day(t casefile.Time) string { return fn[casefile.Time, string]("day")(t) }

func percent(f float64) string { return fn[float64, string]("percent")(f) }

func decimal(f float64) string { return fn[float64, string]("decimal")(f) }

func itoa(n int) string { return strconv.Itoa(n) }
