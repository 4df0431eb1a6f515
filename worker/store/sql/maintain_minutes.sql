DELETE FROM trend_cells WHERE granularity = '1m' AND bucket < %(floor)s
