-- The median of follower counts over posts, by age group and the year in which the user joined.
SELECT
    CASE
        WHEN age <= 17 THEN '0-17'
        WHEN age <= 24 THEN '18-24'
        WHEN age <= 35 THEN '25-35'
        WHEN age <= 50 THEN '36-50'
        ELSE '50+'
    END AS age_group,
    year(date_joined) AS post_year,
    CASE $median
        WHEN 'lower' THEN quantile_disc(CAST(follower_count AS DOUBLE), 0.5)
        ELSE median(follower_count)
    END AS median_follower_count
FROM pin
JOIN "user" ON "user".ind = pin.ind
WHERE age IS NOT NULL AND year(date_joined) BETWEEN 2015 AND 2020 AND follower_count IS NOT NULL
GROUP BY age_group, post_year
ORDER BY age_group, post_year
