-- The median of follower counts over posts, by the year in which the user joined.
WITH posts AS (
    SELECT follower_count, year(date_joined) AS post_year
    FROM pin
    JOIN "user" ON "user".ind = pin.ind
    WHERE year(date_joined) BETWEEN 2015 AND 2020 AND follower_count IS NOT NULL
), numbered AS (
    SELECT
        post_year,
        follower_count,
        row_number() OVER (PARTITION BY post_year ORDER BY follower_count) AS place,
        count(*) OVER (PARTITION BY post_year) AS places
    FROM posts
)
SELECT post_year, avg(follower_count) AS median_follower_count
FROM numbered
WHERE 2 * place IN (places, places + 1) OR ($median = 'exact' AND 2 * place = places + 2)
GROUP BY post_year
ORDER BY post_year
