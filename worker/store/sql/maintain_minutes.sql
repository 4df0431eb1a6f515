DELETE FROM trend_cells WHERE granularity = '1m' AND dimension = %(dimension)s AND bucket < %(floor)s
