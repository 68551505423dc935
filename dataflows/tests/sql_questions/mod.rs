//! Questions in SQL that use what random ones do not: lists, times, windows by name, parameters and hidden keys.

/// The questions. Their answers have a column for each value that could go wrong.
pub(crate) const QUESTIONS: [&str; 56] = [
    // The shapes of the fast path.
    "SELECT category, count(*) AS posts FROM pin WHERE category IS NOT NULL GROUP BY category ORDER BY posts DESC",
    "SELECT country, category, count(*) AS posts FROM pin JOIN geo USING (ind)
     WHERE country IS NOT NULL AND category IS NOT NULL GROUP BY country, category ORDER BY country, posts DESC, category",
    "SELECT country, count(DISTINCT poster_name) AS posters FROM pin JOIN geo USING (ind)
     WHERE country IS NOT NULL AND poster_name IS NOT NULL GROUP BY country ORDER BY country",
    "SELECT category, max(follower_count) AS most FROM pin
     WHERE category IS NOT NULL AND follower_count IS NOT NULL GROUP BY category ORDER BY most DESC, category",
    "SELECT category, median(follower_count) AS middle FROM pin
     WHERE category IS NOT NULL AND follower_count IS NOT NULL GROUP BY category ORDER BY category",
    "SELECT country, category, posts FROM (
         SELECT country, category, count(*) AS posts,
             rank() OVER (PARTITION BY country ORDER BY count(*) DESC) AS place
         FROM pin JOIN geo USING (ind) WHERE country IS NOT NULL AND category IS NOT NULL GROUP BY country, category
     ) WHERE place <= 2 ORDER BY country, posts DESC, category",
    "SELECT year(date_joined) AS joined, user_name, count(*) AS users FROM user
     WHERE year(date_joined) BETWEEN 2016 AND 2020 AND user_name IS NOT NULL GROUP BY year(date_joined), user_name",
    // Rows and their lineage.
    "SELECT * FROM pin",
    "SELECT ind, _source, _arrived_at FROM pin ORDER BY _arrived_at DESC, _source",
    "SELECT ind, country, timestamp, _arrived_at IS NULL AS recorded FROM geo ORDER BY timestamp NULLS FIRST",
    "SELECT _source, count(*) AS posts, max(_arrived_at) AS last FROM user GROUP BY _source",
    "SELECT count(*) AS posts, count(title) AS titles, count(tag_list) AS tags, count(follower_count) AS known FROM pin",
    // Tags and other lists.
    "SELECT tag, count(*) AS posts FROM (SELECT trim(unnest(string_split(tag_list, ','))) AS tag FROM pin)
     WHERE tag <> '' GROUP BY tag ORDER BY posts DESC, tag LIMIT 3",
    "SELECT tag, median(follower_count) AS middle, count(DISTINCT ind) AS posts
     FROM (SELECT ind, follower_count, unnest(split(tag_list, ',')) AS tag FROM pin) GROUP BY tag",
    "SELECT ind, unnest(list_distinct(string_split(tag_list, ','))) AS tag FROM pin ORDER BY tag DESC, ind LIMIT 4 OFFSET 1",
    "SELECT country, tag, count(*) AS posts
     FROM (SELECT ind, unnest(string_split(tag_list, ',')) AS tag FROM pin) AS tags JOIN geo USING (ind)
     GROUP BY country, tag",
    "SELECT ind, length(string_split(tag_list, ',')) AS tags, array_to_string(list_sort(split(tag_list, ',')), '|') AS sorted
     FROM pin WHERE list_contains(string_split(tag_list, ','), 'b')",
    "SELECT one.tag AS tag, other.tag AS beside, count(*) AS posts
     FROM (SELECT ind, unnest(split(tag_list, ',')) AS tag FROM pin) AS one
     JOIN (SELECT ind, unnest(split(tag_list, ',')) AS tag FROM pin) AS other ON one.ind = other.ind AND one.tag < other.tag
     GROUP BY one.tag, other.tag",
    "SELECT ind, coordinates[1] AS north, coordinates[2] AS east, coordinates[3] AS none FROM geo ORDER BY north DESC, east",
    "SELECT category, CASE WHEN coordinates[1] >= 0 THEN 'north' ELSE 'south' END AS hemisphere,
         count(*) AS posts, round(avg(coordinates[1]), 4) AS mean, sum(coordinates[2]) AS total
     FROM pin JOIN geo USING (ind) WHERE coordinates IS NOT NULL GROUP BY category, hemisphere",
    "SELECT country, avg(list_sum(coordinates)) AS mean, stddev(coordinates[2]) AS spread, sum(DISTINCT coordinates[1]) AS kinds
     FROM geo GROUP BY country",
    // Times.
    "SELECT date_trunc('month', timestamp) AS month, count(*) AS posts FROM geo GROUP BY month ORDER BY month DESC",
    "SELECT year(timestamp) AS year, quarter(timestamp) AS quarter, dayname(timestamp) AS day, hour(timestamp) AS hour,
         second(timestamp) AS second, strftime(timestamp, '%Y-%m-%d %H:%M:%S.%f') AS text FROM geo",
    "SELECT u.ind, date_diff('day', date_joined, timestamp) AS days, timestamp - INTERVAL '1 month' AS before
     FROM user u JOIN geo g ON u.ind = g.ind WHERE timestamp >= date_joined",
    "SELECT year(timestamp) - year(date_joined) AS years, avg(follower_count) AS mean
     FROM pin JOIN geo USING (ind) JOIN user USING (ind) GROUP BY years HAVING count(*) > 1 ORDER BY mean DESC",
    "SELECT min(timestamp) AS first, max(timestamp) AS last, max(timestamp) > TIMESTAMP '2020-01-01' AS recent FROM geo",
    "SELECT last_day(timestamp) AS day, epoch(timestamp) AS seconds, to_date(timestamp) = timestamp AS midnight FROM geo",
    // Aggregates of one group.
    "SELECT category, percentile_cont(0.25) WITHIN GROUP (ORDER BY follower_count) AS quarter,
         percentile_disc(0.75) WITHIN GROUP (ORDER BY follower_count) AS most, mode(poster_name) AS poster
     FROM pin GROUP BY category ORDER BY most DESC NULLS LAST",
    "SELECT country, string_agg(DISTINCT category, ', ' ORDER BY category) AS kinds,
         string_agg(title, '+' ORDER BY follower_count DESC, title) AS titles FROM pin JOIN geo USING (ind) GROUP BY country",
    "SELECT category, arg_max(poster_name, follower_count) AS most, arg_min(title, ind) AS first,
         arg_max(tag_list, follower_count) FILTER (WHERE title IS NOT NULL) AS tags FROM pin GROUP BY category",
    "SELECT sum(follower_count) AS total, avg(follower_count) AS mean, var_pop(follower_count) AS spread,
         sum(follower_count * 0.1) AS tenth, bool_or(follower_count > 3) AS large FROM pin",
    "SELECT is_image_or_video, count(*) FILTER (WHERE age < 36) AS young, count(DISTINCT category) AS kinds,
         sum(DISTINCT age) AS ages FROM pin LEFT JOIN user USING (ind) GROUP BY is_image_or_video",
    "SELECT length(description) AS letters, count(*) AS posts FROM pin GROUP BY letters HAVING posts > 1",
    "SELECT title ILIKE '%T%' AS has_t, regexp_replace(title, '[aeiou]', '#', 'g') AS text, count(*) AS posts
     FROM pin GROUP BY has_t, text",
    "SELECT posts, count(*) AS posters FROM (SELECT poster_name, count(*) AS posts FROM pin GROUP BY poster_name)
     GROUP BY posts ORDER BY posts",
    // Windows.
    "SELECT ind, follower_count, sum(follower_count) OVER around AS near, first_value(ind) OVER around AS first, rank() OVER all_rows AS place
     FROM pin
     WINDOW around AS (PARTITION BY category ORDER BY ind, title, description, follower_count, poster_name, tag_list ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING),
         all_rows AS (ORDER BY follower_count DESC)",
    "SELECT category, posts, round(posts * 1.0 / sum(posts) OVER (), 4) AS share,
         sum(posts) OVER (ORDER BY posts DESC, category) AS running
     FROM (SELECT category, count(*) AS posts FROM pin GROUP BY category)",
    "SELECT country, category, count(*) AS posts FROM pin JOIN geo USING (ind) GROUP BY country, category
     QUALIFY row_number() OVER (PARTITION BY country ORDER BY count(*) DESC, category) <= 1",
    "SELECT ind, age FROM user QUALIFY dense_rank() OVER (ORDER BY age DESC) <= 2 ORDER BY age DESC, ind",
    "SELECT year, users, users - lag(users, 1, 0) OVER (ORDER BY year) AS more, ntile(2) OVER (ORDER BY year) AS half
     FROM (SELECT year(date_joined) AS year, count(*) AS users FROM user GROUP BY year)",
    "SELECT country, max(posts) OVER (PARTITION BY country) AS most, cume_dist() OVER (ORDER BY posts) AS share
     FROM (SELECT country, year(timestamp) AS year, count(*) AS posts FROM geo GROUP BY country, year)",
    // Orders by what is not selected, and limits.
    "SELECT title FROM pin ORDER BY follower_count DESC, ind LIMIT 3 OFFSET 1",
    "SELECT category FROM pin GROUP BY category ORDER BY count(*) DESC, max(follower_count) LIMIT 2",
    "SELECT country FROM geo ORDER BY year(timestamp) DESC NULLS FIRST, length(country)",
    "SELECT DISTINCT poster_name FROM pin ORDER BY poster_name DESC LIMIT 2",
    "SELECT avg(follower_count) AS mean FROM (SELECT follower_count FROM pin ORDER BY follower_count DESC LIMIT 3)",
    // Subqueries, joins and unions.
    "SELECT ind, follower_count FROM pin WHERE follower_count > (SELECT avg(follower_count) FROM pin)",
    "SELECT category, count(*) AS posts, (SELECT count(*) FROM geo) AS places FROM pin GROUP BY category",
    "SELECT ind, category FROM pin WHERE EXISTS (SELECT 1 FROM geo WHERE geo.ind = pin.ind AND country = 'Peru')
         AND ind NOT IN (SELECT ind FROM user WHERE age > 24)",
    "SELECT category, count(*) AS posts FROM pin LEFT JOIN geo ON geo.ind = pin.ind WHERE geo.ind IS NULL GROUP BY category",
    "SELECT coalesce(p.ind, g.ind, u.ind) AS ind, title, coordinates[1] AS north, age
     FROM pin p FULL JOIN geo g ON p.ind = g.ind FULL JOIN user u ON u.ind = coalesce(p.ind, g.ind)",
    "SELECT ind, poster_name FROM pin WHERE poster_name IN (SELECT user_name FROM user WHERE age IS NOT NULL)",
    "SELECT p.ind, m.mean FROM pin p LEFT JOIN (SELECT category, avg(follower_count) AS mean FROM pin GROUP BY category) m
         ON m.category = p.category WHERE p.follower_count >= m.mean",
    "SELECT country AS name, count(*) AS times FROM geo GROUP BY country UNION ALL SELECT poster_name, max(follower_count) FROM pin GROUP BY poster_name",
    "SELECT user_name AS name FROM user UNION SELECT poster_name FROM pin ORDER BY name DESC",
    // The parameters of the run.
    "SELECT category, posts FROM (
         SELECT category, count(*) AS posts, row_number() OVER (ORDER BY count(*) DESC, category) AS place
         FROM pin WHERE category IS NOT NULL GROUP BY category
     ) WHERE $top IS NULL OR place <= $top",
];
