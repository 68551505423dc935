-- The median of follower counts over posts, by age group of the user.
WITH posts AS (
    SELECT
        follower_count,
        CASE
            WHEN age <= 17 THEN '0-17'
            WHEN age <= 24 THEN '18-24'
            WHEN age <= 35 THEN '25-35'
            WHEN age <= 50 THEN '36-50'
            ELSE '50+'
        END AS age_group
    FROM pin
    JOIN "user" ON "user".ind = pin.ind
    WHERE age IS NOT NULL AND follower_count IS NOT NULL
), numbered AS (
    SELECT
        age_group,
        follower_count,
        row_number() OVER (PARTITION BY age_group ORDER BY follower_count) AS place,
        count(*) OVER (PARTITION BY age_group) AS places
    FROM posts
)
SELECT age_group, avg(follower_count) AS median_follower_count
FROM numbered
WHERE 2 * place IN (places, places + 1) OR ($median = 'exact' AND 2 * place = places + 2)
GROUP BY age_group
ORDER BY age_group
