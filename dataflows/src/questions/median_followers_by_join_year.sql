-- The median of follower counts over posts, by the year in which the user joined.
SELECT
    year(date_joined) AS post_year,
    CASE $median
        WHEN 'lower' THEN quantile_disc(CAST(follower_count AS DOUBLE), 0.5)
        ELSE median(follower_count)
    END AS median_follower_count
FROM pin
JOIN "user" ON "user".ind = pin.ind
WHERE year(date_joined) BETWEEN 2015 AND 2020 AND follower_count IS NOT NULL
GROUP BY post_year
ORDER BY post_year
