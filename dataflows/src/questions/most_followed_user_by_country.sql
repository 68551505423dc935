-- The greatest follower count, with its user, by country.
WITH counted AS (
    SELECT country, user_name, max(follower_count) AS follower_count
    FROM pin
    JOIN geo ON geo.ind = pin.ind
    JOIN "user" ON "user".ind = pin.ind
    WHERE country IS NOT NULL AND user_name IS NOT NULL AND follower_count IS NOT NULL
    GROUP BY country, user_name
), ranked AS (
    SELECT
        country, user_name, follower_count,
        row_number() OVER (PARTITION BY country ORDER BY follower_count DESC, user_name) AS row_rank,
        dense_rank() OVER (PARTITION BY country ORDER BY follower_count DESC) AS value_rank
    FROM counted
)
SELECT country, user_name, follower_count
FROM ranked
WHERE $top IS NULL OR CASE $ties WHEN 'first' THEN row_rank ELSE value_rank END <= $top
ORDER BY country, follower_count DESC, user_name
