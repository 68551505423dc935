-- How many different names the users have who joined, by year.
SELECT year(date_joined) AS post_year, count(DISTINCT user_name) AS number_users_joined
FROM "user"
WHERE year(date_joined) BETWEEN 2015 AND 2020
GROUP BY year(date_joined)
ORDER BY post_year
