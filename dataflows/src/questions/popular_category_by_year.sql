-- The category with most posts, by year of the post.
WITH counted AS (
    SELECT year("timestamp") AS post_year, category, count(*) AS category_count
    FROM pin
    JOIN geo ON geo.ind = pin.ind
    WHERE year("timestamp") BETWEEN 2018 AND 2022 AND category IS NOT NULL
    GROUP BY year("timestamp"), category
), ranked AS (
    SELECT
        post_year, category, category_count,
        row_number() OVER (PARTITION BY post_year ORDER BY category_count DESC, category) AS row_rank,
        dense_rank() OVER (PARTITION BY post_year ORDER BY category_count DESC) AS value_rank
    FROM counted
)
SELECT post_year, category, category_count
FROM ranked
WHERE $top IS NULL OR CASE $ties WHEN 'first' THEN row_rank ELSE value_rank END <= $top
ORDER BY post_year, category_count DESC, category
