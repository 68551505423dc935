-- How many pins each category has, and the followers of its posters.
SELECT category,
       count(*) AS pins,
       count(DISTINCT poster_name) AS posters,
       avg(follower_count) AS mean_followers
FROM pin
GROUP BY category
ORDER BY pins DESC
