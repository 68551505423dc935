-- The category with most posts, by country.
WITH counted AS (
    SELECT country, category, count(*) AS category_count
    FROM pin
    JOIN geo ON geo.ind = pin.ind
    WHERE country IS NOT NULL AND category IS NOT NULL
    GROUP BY country, category
), ranked AS (
    SELECT
        country, category, category_count,
        row_number() OVER (PARTITION BY country ORDER BY category_count DESC, category) AS row_rank,
        dense_rank() OVER (PARTITION BY country ORDER BY category_count DESC) AS value_rank
    FROM counted
)
SELECT country, category, category_count
FROM ranked
WHERE $top IS NULL OR CASE $ties WHEN 'first' THEN row_rank ELSE value_rank END <= $top
ORDER BY country, category_count DESC, category
