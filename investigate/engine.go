package investigate

import "fmt"

// The few pieces of SQL in which engines differ, or might.

// throttleSQL finds moments at which at least n binds of a mailbox were
// recorded in 24 hours, with nothing for a day afterwards.
func throttleSQL(n int) string {
	return fmt.Sprintf(`WITH binds AS (
			SELECT time, count(*) OVER (ORDER BY CAST(floor(epoch_us(time) / 1000000) AS BIGINT) RANGE BETWEEN 86400 PRECEDING AND CURRENT ROW) AS n, lead(time) OVER (ORDER BY time) AS next
			FROM events WHERE class = 'mail_access' AND source = 'ual' AND coalesce(access, '') <> 'sync' AND mailbox = ?
		) SELECT time, n, next FROM binds WHERE n >= %d AND (next IS NULL OR next > time + INTERVAL 23 HOUR) ORDER BY time`, n)
}

// flagSQL tests bits of column flags.
func flagSQL(bit uint32) string {
	return fmt.Sprintf(`count(CASE WHEN (coalesce(flags, 0) %% %d) >= %d THEN 1 END)`, 2*bit, bit)
}
