-- The category with most posts, by age group of the user.
WITH counted AS (
    SELECT age_group, category, count(*) AS category_count
    FROM (
        SELECT
            category,
            CASE
                WHEN age <= 17 THEN '0-17'
                WHEN age <= 24 THEN '18-24'
                WHEN age <= 35 THEN '25-35'
                WHEN age <= 50 THEN '36-50'
                ELSE '50+'
            END AS age_group
        FROM pin
        JOIN "user" ON "user".ind = pin.ind
        WHERE age IS NOT NULL AND category IS NOT NULL
    ) AS posts
    GROUP BY age_group, category
), ranked AS (
    SELECT
        age_group, category, category_count,
        row_number() OVER (PARTITION BY age_group ORDER BY category_count DESC, category) AS row_rank,
        dense_rank() OVER (PARTITION BY age_group ORDER BY category_count DESC) AS value_rank
    FROM counted
)
SELECT age_group, category, category_count
FROM ranked
WHERE $top IS NULL OR CASE $ties WHEN 'first' THEN row_rank ELSE value_rank END <= $top
ORDER BY age_group, category_count DESC, category
