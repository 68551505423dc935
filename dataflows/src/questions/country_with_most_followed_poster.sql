-- The country with the greatest follower count of all.
WITH counted AS (
    SELECT country, max(follower_count) AS follower_count
    FROM pin
    JOIN geo ON geo.ind = pin.ind
    WHERE country IS NOT NULL AND follower_count IS NOT NULL
    GROUP BY country
), ranked AS (
    SELECT
        country, follower_count,
        row_number() OVER (ORDER BY follower_count DESC, country) AS row_rank,
        dense_rank() OVER (ORDER BY follower_count DESC) AS value_rank
    FROM counted
)
SELECT country, follower_count
FROM ranked
WHERE $top IS NULL OR CASE $ties WHEN 'first' THEN row_rank ELSE value_rank END <= $top
ORDER BY follower_count DESC, country
