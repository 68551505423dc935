-- Queries that SQLite and this crate must answer alike, over random tables. Blank lines separate them.
--
-- ⟦ours¦SQLite's⟧ is written where the dialects differ. ~ is NULLS LAST, which SQLite needs in words. An ORDER BY is complete
-- and is compared; without one, rows are compared as a bag.

-- Rows and conditions.

SELECT ind, category FROM pin

SELECT * FROM user ORDER BY ind, user_name ~, age ~, date_joined ~

SELECT p.*, country FROM pin p JOIN geo g ON p.ind = g.ind WHERE country IS NOT NULL

SELECT DISTINCT category, is_image_or_video FROM pin ORDER BY 1 ~, 2 DESC ~

SELECT ind FROM pin WHERE follower_count > 1 AND NOT (category = 'art' OR poster_name = 'bob')

SELECT ind FROM pin WHERE category NOT IN ('art', 'travel')

SELECT ind FROM pin WHERE category NOT IN ('art', NULL)

SELECT ind, category IN ('art', NULL) AS among FROM pin

SELECT ind, follower_count BETWEEN 1 AND 3 AS few, follower_count NOT BETWEEN 1 AND 3 AS others FROM pin

SELECT ind FROM user WHERE (age > 2) IS NOT TRUE

SELECT ind, (age > 2) IS FALSE AS young, age IS DISTINCT FROM 2 AS other FROM user

SELECT ind, title LIKE '%r%e' AS one, title LIKE '100!% %' ESCAPE '!' AS other, title NOT LIKE '_r_e' AS third FROM pin

SELECT ind, ⟦category ILIKE 'ART'¦lower(category) LIKE 'art'⟧ AS same FROM pin

SELECT ind, ⟦category ILIKE '%T%'¦lower(category) LIKE '%t%'⟧ AS same FROM pin

SELECT ind, CASE category WHEN 'art' THEN 1 WHEN 'travel' THEN 2 END AS number FROM pin

SELECT ind, CASE WHEN age < 3 THEN 'young' WHEN age < 30 THEN 'grown' ELSE 'old' END AS years FROM user

SELECT ind, coalesce(age, -1) AS age, nullif(age, 24) AS other, age IS NULL AS unknown FROM user

SELECT ind, ⟦age / 2¦CAST(age AS REAL) / 2⟧ AS half, ⟦age // 2¦age / 2⟧ AS whole, age % 7 AS rest, -age % 7 AS negative FROM user

SELECT ind, ⟦age / (ind - 3)¦CAST(age AS REAL) / (ind - 3)⟧ AS share, age % (ind - 3) AS rest FROM user

SELECT ind, age * 2 - 3 + ind AS number, abs(ind - 5) AS distance, (age + 1) * 0.5 AS half FROM user

SELECT ind, length(title) AS letters, lower(title) AS small, upper(title) AS great, trim(' ' || title || '  ') AS bare FROM pin

SELECT ind, title || '-' || category AS both, replace(title, 't', 'TT') AS longer, substr(title, 2, 3) AS part FROM pin

SELECT ind, year(timestamp) AS year FROM geo WHERE timestamp >= ⟦TIMESTAMP '2020-01-01 00:00:00'¦1577836800000000⟧

SELECT ind FROM geo WHERE timestamp BETWEEN ⟦TIMESTAMP '1969-12-31'¦-86400000000⟧ AND ⟦DATE '2019-12-31'¦1577750400000000⟧

SELECT ind FROM pin WHERE TRUE

SELECT ind FROM pin WHERE category = category

SELECT ind, ⟦greatest(age, ind)¦max(coalesce(age, ind), ind)⟧ AS greater FROM user WHERE age IS NOT NULL

SELECT 1 AS one, 'x' AS letter

SELECT ind, ⟦coordinates[1]¦json_extract(coordinates, '$[0]')⟧ AS north, ⟦coordinates[2]¦json_extract(coordinates, '$[1]')⟧ AS east FROM geo

-- Joins.

SELECT p.ind, p.category, g.country FROM pin p LEFT JOIN geo g ON p.ind = g.ind

SELECT p.ind, g.ind AS other FROM pin p RIGHT JOIN geo g ON p.ind = g.ind

SELECT p.ind, u.ind AS other, u.age FROM pin p FULL JOIN user u ON p.ind = u.ind

SELECT ind, category, age FROM pin JOIN user USING (ind)

SELECT ind, category, country FROM pin FULL JOIN geo USING (ind)

SELECT ind, category, country, age FROM pin JOIN geo USING (ind) JOIN user USING (ind)

SELECT pin.ind, country, age FROM pin LEFT JOIN geo ON pin.ind = geo.ind LEFT JOIN user ON user.ind = pin.ind

SELECT p.ind, g.country FROM pin p LEFT JOIN geo g ON p.ind = g.ind AND g.country = 'Peru'

SELECT p.ind, g.country FROM pin p LEFT JOIN geo g ON p.ind = g.ind AND p.category = 'art'

SELECT p.ind, g.country FROM pin p LEFT JOIN geo g ON p.ind = g.ind WHERE g.country = 'Peru' OR g.ind IS NULL

SELECT p.ind AS one, g.ind AS other FROM pin p FULL JOIN geo g ON p.ind = g.ind AND p.follower_count > 1

SELECT p.ind AS one, g.ind AS other FROM pin p FULL JOIN geo g ON p.ind = g.ind AND 1 = 2

SELECT p.ind, g.country, u.age FROM pin p JOIN geo g ON p.ind = g.ind AND 1 = 2 JOIN user u ON p.ind = u.ind

SELECT p.ind AS one, g.ind AS other FROM pin p LEFT JOIN geo g ON p.ind = g.ind AND NULL IS NOT NULL

SELECT p.ind, q.category FROM pin p JOIN pin q ON p.ind = q.ind AND p.follower_count <= q.follower_count

SELECT p.ind FROM pin p, geo g WHERE p.ind = g.ind AND g.country <> 'Peru'

SELECT ind FROM pin WHERE EXISTS (SELECT 1 FROM geo WHERE geo.ind = pin.ind)

SELECT ind FROM pin WHERE NOT EXISTS (SELECT 1 FROM geo WHERE geo.ind = pin.ind AND country = 'Peru')

SELECT ind FROM pin WHERE ind IN (SELECT ind FROM user WHERE age > 1) AND ind NOT IN (SELECT ind FROM geo)

SELECT ind FROM pin WHERE poster_name IN (SELECT user_name FROM user)

SELECT p.ind, d.posts FROM pin p JOIN (SELECT category, count(*) AS posts FROM pin GROUP BY category) d ON p.category = d.category

SELECT p.ind, d.mean FROM pin p LEFT JOIN (SELECT category, avg(follower_count) AS mean FROM pin GROUP BY category) d ON p.category = d.category WHERE p.follower_count > d.mean

SELECT a.category, a.posts, b.posts AS images FROM (SELECT category, count(*) AS posts FROM pin GROUP BY category) a FULL JOIN (SELECT category, count(*) AS posts FROM pin WHERE is_image_or_video = 'image' GROUP BY category) b ON a.category = b.category

-- Groups.

SELECT count(*) AS posts FROM pin

SELECT count(*) AS posts, count(category) AS known, count(DISTINCT category) AS kinds, max(ind) AS last FROM pin WHERE ind > 100

SELECT category, count(*) AS posts FROM pin GROUP BY category ORDER BY posts DESC, category ~

SELECT category, is_image_or_video, sum(follower_count) AS total FROM pin GROUP BY 1, 2

SELECT category, min(follower_count) AS least, max(follower_count) AS most, avg(follower_count) AS mean, sum(follower_count) AS total, count(follower_count) AS known FROM pin GROUP BY category ORDER BY category ~

SELECT min(category) AS first, max(category) AS last, min(timestamp) AS earliest, max(timestamp) AS latest FROM pin JOIN geo USING (ind)

SELECT category FROM pin GROUP BY category HAVING count(*) > 1

SELECT category, count(*) AS posts FROM pin GROUP BY category HAVING sum(follower_count) > 2 OR category IS NULL

SELECT year(timestamp) AS year, count(*) AS posts FROM geo GROUP BY year(timestamp) ORDER BY year ~

SELECT CASE WHEN age < 3 THEN 'young' ELSE 'old' END AS years, count(*) AS users FROM user GROUP BY CASE WHEN age < 3 THEN 'young' ELSE 'old' END

SELECT CASE WHEN age < 3 THEN 'young' ELSE 'old' END AS years, count(*) AS users FROM user GROUP BY years

SELECT count(*) FILTER (WHERE age > 2) AS old, count(*) FILTER (WHERE age <= 2) AS young, sum(age) FILTER (WHERE age > 100) AS none FROM user

SELECT sum(DISTINCT age) AS ages, avg(DISTINCT age) AS mean, count(DISTINCT age) FILTER (WHERE ind < 5) AS some FROM user

SELECT category, median(follower_count) AS middle FROM pin GROUP BY category ORDER BY category ~

SELECT category, ⟦percentile_cont(0.25) WITHIN GROUP (ORDER BY follower_count)¦percentile_cont(follower_count, 0.25)⟧ AS quarter, ⟦percentile_disc(0.75) WITHIN GROUP (ORDER BY follower_count)¦percentile_disc(follower_count, 0.75)⟧ AS most FROM pin GROUP BY category

SELECT ⟦percentile_disc(0.5) WITHIN GROUP (ORDER BY title)¦percentile_disc(title, 0.5)⟧ AS title FROM pin

SELECT country, mode(category) AS kind, mode(follower_count) AS followers FROM pin JOIN geo USING (ind) GROUP BY country

SELECT category, stddev_samp(follower_count) AS sample, stddev_pop(follower_count) AS population, var_samp(follower_count) AS variance, var_pop(follower_count) AS other FROM pin GROUP BY category

SELECT bool_and(age > 1) AS every, bool_or(age > 24) AS some, bool_or(age > 24) FILTER (WHERE ind > 100) AS none FROM user

SELECT country, string_agg(category, ',' ORDER BY category) AS kinds FROM pin JOIN geo USING (ind) GROUP BY country

SELECT ⟦string_agg(DISTINCT poster_name, ',' ORDER BY poster_name DESC)¦group_concat(DISTINCT poster_name ORDER BY poster_name DESC)⟧ AS posters FROM pin

SELECT string_agg(poster_name, '; ' ORDER BY follower_count DESC ~, poster_name) AS posters FROM pin

SELECT arg_max(poster_name, follower_count) AS poster, arg_min(poster_name, follower_count) AS other FROM pin

SELECT category, arg_max(ind, follower_count) FILTER (WHERE poster_name IS NOT NULL) AS post FROM pin GROUP BY category

SELECT count(*) + 1 AS more, ⟦sum(age) / count(*)¦CAST(sum(age) AS REAL) / count(*)⟧ AS mean FROM user

SELECT user_name, max(age) - min(age) AS span, count(*) * 2 AS twice FROM user GROUP BY user_name

SELECT ⟦coordinates[1]¦json_extract(coordinates, '$[0]')⟧ >= 0 AS north, count(*) AS posts, avg(⟦coordinates[2]¦json_extract(coordinates, '$[1]')⟧) AS east FROM geo GROUP BY 1

SELECT DISTINCT count(*) AS posts FROM pin GROUP BY category

SELECT category FROM pin GROUP BY category ORDER BY count(*) DESC, category ~

-- Orders and limits.

SELECT ind, follower_count FROM pin ORDER BY follower_count DESC ~, ind LIMIT 3

SELECT ind, follower_count FROM pin ORDER BY follower_count NULLS FIRST, ind DESC LIMIT 3 OFFSET 2

SELECT category, ind FROM pin ORDER BY follower_count ~, category DESC ~, ind

SELECT category, count(*) AS posts FROM pin WHERE category IS NOT NULL GROUP BY category ORDER BY posts DESC, category LIMIT 2

SELECT d.ind FROM (SELECT ind, follower_count FROM pin ORDER BY follower_count DESC ~, ind LIMIT 4) d WHERE d.follower_count IS NOT NULL

SELECT count(*) AS posts FROM (SELECT ind FROM pin ORDER BY ind LIMIT 3) d

SELECT ind FROM geo WHERE country IN (SELECT country FROM geo WHERE country IS NOT NULL GROUP BY country ORDER BY count(*) DESC, country LIMIT 1)

-- Nested queries.

SELECT posts, count(*) AS posters FROM (SELECT poster_name, count(*) AS posts FROM pin GROUP BY poster_name) d GROUP BY posts ORDER BY posts

SELECT max(total) AS most FROM (SELECT sum(follower_count) AS total FROM pin GROUP BY category) d

WITH counted AS (SELECT category, count(*) AS posts FROM pin GROUP BY category) SELECT category, posts FROM counted WHERE posts = (SELECT max(posts) FROM counted)

WITH counted AS (SELECT country, category, count(*) AS posts FROM pin JOIN geo ON pin.ind = geo.ind GROUP BY country, category), ranked AS (SELECT country, category, posts, rank() OVER (PARTITION BY country ORDER BY posts DESC) AS place FROM counted) SELECT country, category, posts FROM ranked WHERE place = 1

WITH a AS (SELECT ind, category FROM pin WHERE follower_count > 0), b AS (SELECT category, count(*) AS posts FROM a GROUP BY category) SELECT a.ind, b.posts FROM a JOIN b ON a.category = b.category

SELECT ind FROM pin WHERE follower_count = (SELECT max(follower_count) FROM pin)

SELECT ind, follower_count - (SELECT avg(follower_count) FROM pin) AS difference FROM pin

SELECT ind FROM user WHERE age > (SELECT avg(age) FROM user WHERE ind > 100)

SELECT category, count(*) AS posts, ⟦count(*) / (SELECT count(*) FROM pin)¦CAST(count(*) AS REAL) / (SELECT count(*) FROM pin)⟧ AS share FROM pin GROUP BY category

SELECT category FROM pin GROUP BY category HAVING count(*) >= (SELECT count(*) FROM geo WHERE country = 'Peru')

SELECT ind FROM pin UNION ALL SELECT ind FROM geo

SELECT category AS word FROM pin UNION SELECT country FROM geo ORDER BY word ~

SELECT ind, 'pin' AS kind FROM pin UNION ALL SELECT ind, 'geo' FROM geo UNION ALL SELECT age, user_name FROM user

SELECT kind, count(*) AS rows FROM (SELECT 'pin' AS kind FROM pin UNION ALL SELECT 'geo' FROM geo) d GROUP BY kind

-- Windows.

SELECT ind, row_number() OVER (ORDER BY follower_count DESC ~, ind) AS place FROM (SELECT DISTINCT ind, follower_count FROM pin) d

SELECT ind, rank() OVER (PARTITION BY category ORDER BY follower_count ~) AS place, dense_rank() OVER (PARTITION BY category ORDER BY follower_count ~) AS step FROM pin

SELECT ind, percent_rank() OVER (ORDER BY age ~) AS share, cume_dist() OVER (ORDER BY age ~) AS part FROM user

SELECT DISTINCT age, ntile(3) OVER (ORDER BY age ~, ind, user_name ~, date_joined ~) AS third FROM user

SELECT ind, lag(age) OVER (ORDER BY ind, age ~) AS before, lead(age, 2, -1) OVER (ORDER BY ind, age ~) AS after FROM user

SELECT ind, sum(age) OVER (ORDER BY age ~) AS running, sum(age) OVER () AS total, count(*) OVER (PARTITION BY user_name) AS namesakes FROM user

SELECT ind, age, sum(age) OVER (ORDER BY ind, age ~ ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS near FROM user

SELECT ind, avg(age) OVER (ORDER BY ind, age ~ ROWS 2 PRECEDING) AS mean, max(age) OVER (ORDER BY ind ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS most FROM user

SELECT ind, first_value(age) OVER (ORDER BY ind, age ~) AS first, last_value(age) OVER (ORDER BY ind, age ~ ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS last, nth_value(age, 2) OVER (ORDER BY ind, age ~) AS second FROM user

SELECT category, count(*) AS posts, rank() OVER (ORDER BY count(*) DESC) AS place FROM pin GROUP BY category ORDER BY place, category ~

SELECT country, category, posts, ⟦posts * 1.0¦CAST(posts AS REAL)⟧ / sum(posts) OVER (PARTITION BY country) AS share FROM (SELECT country, category, count(*) AS posts FROM pin JOIN geo USING (ind) GROUP BY country, category) d

SELECT year, posts, posts - lag(posts) OVER (ORDER BY year ~) AS growth FROM (SELECT year(timestamp) AS year, count(*) AS posts FROM geo GROUP BY year(timestamp)) d

SELECT category, sum(count(*)) OVER (ORDER BY category ~) AS running FROM pin GROUP BY category

SELECT category, ind FROM (SELECT category, ind, row_number() OVER (PARTITION BY category ORDER BY ind, follower_count ~, title ~, poster_name ~) AS place FROM pin) d WHERE place <= 2

SELECT ind, count(*) FILTER (WHERE age > 2) OVER (PARTITION BY user_name) AS old FROM user

SELECT ind, sum(age) OVER w AS running, count(*) OVER w AS rows FROM user WINDOW w AS (PARTITION BY user_name ORDER BY age ~)

⟦SELECT ind, category FROM pin QUALIFY rank() OVER (PARTITION BY category ORDER BY ind) = 1¦SELECT ind, category FROM (SELECT ind, category, rank() OVER (PARTITION BY category ORDER BY ind) AS place FROM pin) WHERE place = 1⟧

-- Lists.

⟦SELECT ind, unnest(string_split(tag_list, ',')) AS tag FROM pin¦SELECT ind, value AS tag FROM pin JOIN json_each('["' || replace(tag_list, ',', '","') || '"]')⟧

⟦SELECT trim(tag) AS tag, count(*) AS posts FROM (SELECT explode(split(tag_list, ',')) AS tag FROM pin) d GROUP BY 1¦SELECT trim(value) AS tag, count(*) AS posts FROM pin JOIN json_each('["' || replace(tag_list, ',', '","') || '"]') GROUP BY 1⟧

-- Frames whose bounds are distances of values.

SELECT ind, count(*) OVER (ORDER BY age ~ RANGE BETWEEN 2 PRECEDING AND CURRENT ROW) AS n FROM user

SELECT ind, sum(age) OVER (PARTITION BY user_name ORDER BY ind DESC ~ RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS s FROM user

SELECT ind, count(*) OVER (ORDER BY age NULLS FIRST RANGE BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS n FROM user

SELECT ind, min(age) OVER (ORDER BY age DESC NULLS FIRST RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS m FROM user

-- Several values counted as one.

SELECT ⟦count(DISTINCT category, is_image_or_video)¦count(DISTINCT category || '~' || is_image_or_video)⟧ AS n FROM pin

SELECT poster_name, ⟦count(DISTINCT (category, follower_count))¦count(DISTINCT coalesce(category, '!') || '~' || coalesce(follower_count, '!'))⟧ AS n FROM pin GROUP BY poster_name

SELECT ⟦count(DISTINCT category, follower_count) FILTER (WHERE ind > 2)¦count(DISTINCT category || '~' || follower_count) FILTER (WHERE ind > 2)⟧ AS n FROM pin

-- Rows joined with constant ones.

SELECT b.label, count(*) AS n FROM user u JOIN (⟦VALUES (0, 1, 'few'), (2, 9, 'many')¦SELECT 0 AS lo, 1 AS hi, 'few' AS label UNION ALL SELECT 2, 9, 'many'⟧) AS b⟦(lo, hi, label)¦⟧ ON u.age BETWEEN b.lo AND b.hi GROUP BY b.label

SELECT b.label, u.ind FROM user u LEFT JOIN (⟦VALUES (0, 1, 'few'), (1, 9, 'many')¦SELECT 0 AS lo, 1 AS hi, 'few' AS label UNION ALL SELECT 1, 9, 'many'⟧) AS b⟦(lo, hi, label)¦⟧ ON u.age BETWEEN b.lo AND b.hi

-- Which expressions a row is grouped by. SQLite has no sets of groupings.

SELECT ⟦category, is_image_or_video, count(*) AS n, grouping(category) AS c, grouping_id(category, is_image_or_video) AS id FROM pin GROUP BY ROLLUP (category, is_image_or_video)¦category, is_image_or_video, count(*) AS n, 0 AS c, 0 AS id FROM pin GROUP BY 1, 2 UNION ALL SELECT category, NULL, count(*), 0, 1 FROM pin GROUP BY category UNION ALL SELECT NULL, NULL, count(*), 1, 3 FROM pin⟧

SELECT ⟦coalesce(category, CASE WHEN grouping(category) = 1 THEN 'all' END) AS c, count(*) AS n FROM pin GROUP BY CUBE (category) HAVING grouping_id() < 2¦category AS c, count(*) AS n FROM pin GROUP BY category UNION ALL SELECT 'all', count(*) FROM pin⟧

-- Comparisons with all or any values of a subquery.

SELECT u.ind, u.age, ⟦u.age < ANY (SELECT q.follower_count FROM pin q WHERE q.ind > 1)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND u.age < q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND (u.age < q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age < ANY (SELECT q.follower_count FROM pin q WHERE q.ind = u.ind)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND u.age < q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND (u.age < q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age < ANY (SELECT q.follower_count FROM pin q WHERE q.follower_count IS NOT NULL AND q.ind < 3)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND u.age < q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND (u.age < q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age < ALL (SELECT q.follower_count FROM pin q WHERE q.ind > 1)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND NOT (u.age < q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND (u.age < q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age < ALL (SELECT q.follower_count FROM pin q WHERE q.ind = u.ind)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND NOT (u.age < q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND (u.age < q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age < ALL (SELECT q.follower_count FROM pin q WHERE q.follower_count IS NOT NULL AND q.ind < 3)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND NOT (u.age < q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND (u.age < q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age <= ANY (SELECT q.follower_count FROM pin q WHERE q.ind > 1)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND u.age <= q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND (u.age <= q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age <= ANY (SELECT q.follower_count FROM pin q WHERE q.ind = u.ind)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND u.age <= q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND (u.age <= q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age <= ANY (SELECT q.follower_count FROM pin q WHERE q.follower_count IS NOT NULL AND q.ind < 3)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND u.age <= q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND (u.age <= q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age <= ALL (SELECT q.follower_count FROM pin q WHERE q.ind > 1)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND NOT (u.age <= q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND (u.age <= q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age <= ALL (SELECT q.follower_count FROM pin q WHERE q.ind = u.ind)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND NOT (u.age <= q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND (u.age <= q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age <= ALL (SELECT q.follower_count FROM pin q WHERE q.follower_count IS NOT NULL AND q.ind < 3)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND NOT (u.age <= q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND (u.age <= q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age > ANY (SELECT q.follower_count FROM pin q WHERE q.ind > 1)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND u.age > q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND (u.age > q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age > ANY (SELECT q.follower_count FROM pin q WHERE q.ind = u.ind)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND u.age > q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND (u.age > q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age > ANY (SELECT q.follower_count FROM pin q WHERE q.follower_count IS NOT NULL AND q.ind < 3)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND u.age > q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND (u.age > q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age > ALL (SELECT q.follower_count FROM pin q WHERE q.ind > 1)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND NOT (u.age > q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND (u.age > q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age > ALL (SELECT q.follower_count FROM pin q WHERE q.ind = u.ind)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND NOT (u.age > q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND (u.age > q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age > ALL (SELECT q.follower_count FROM pin q WHERE q.follower_count IS NOT NULL AND q.ind < 3)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND NOT (u.age > q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND (u.age > q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age >= ANY (SELECT q.follower_count FROM pin q WHERE q.ind > 1)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND u.age >= q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND (u.age >= q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age >= ANY (SELECT q.follower_count FROM pin q WHERE q.ind = u.ind)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND u.age >= q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND (u.age >= q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age >= ANY (SELECT q.follower_count FROM pin q WHERE q.follower_count IS NOT NULL AND q.ind < 3)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND u.age >= q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND (u.age >= q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age >= ALL (SELECT q.follower_count FROM pin q WHERE q.ind > 1)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND NOT (u.age >= q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND (u.age >= q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age >= ALL (SELECT q.follower_count FROM pin q WHERE q.ind = u.ind)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND NOT (u.age >= q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND (u.age >= q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age >= ALL (SELECT q.follower_count FROM pin q WHERE q.follower_count IS NOT NULL AND q.ind < 3)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND NOT (u.age >= q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND (u.age >= q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age = ANY (SELECT q.follower_count FROM pin q WHERE q.ind > 1)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND u.age = q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND (u.age = q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age = ANY (SELECT q.follower_count FROM pin q WHERE q.ind = u.ind)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND u.age = q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND (u.age = q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age = ANY (SELECT q.follower_count FROM pin q WHERE q.follower_count IS NOT NULL AND q.ind < 3)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND u.age = q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND (u.age = q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age = ALL (SELECT q.follower_count FROM pin q WHERE q.ind > 1)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND NOT (u.age = q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND (u.age = q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age = ALL (SELECT q.follower_count FROM pin q WHERE q.ind = u.ind)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND NOT (u.age = q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND (u.age = q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age = ALL (SELECT q.follower_count FROM pin q WHERE q.follower_count IS NOT NULL AND q.ind < 3)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND NOT (u.age = q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND (u.age = q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age <> ANY (SELECT q.follower_count FROM pin q WHERE q.ind > 1)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND u.age <> q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND (u.age <> q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age <> ANY (SELECT q.follower_count FROM pin q WHERE q.ind = u.ind)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND u.age <> q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND (u.age <> q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age <> ANY (SELECT q.follower_count FROM pin q WHERE q.follower_count IS NOT NULL AND q.ind < 3)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND u.age <> q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND (u.age <> q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age <> ALL (SELECT q.follower_count FROM pin q WHERE q.ind > 1)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND NOT (u.age <> q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND (u.age <> q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age <> ALL (SELECT q.follower_count FROM pin q WHERE q.ind = u.ind)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND NOT (u.age <> q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND (u.age <> q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age, ⟦u.age <> ALL (SELECT q.follower_count FROM pin q WHERE q.follower_count IS NOT NULL AND q.ind < 3)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND NOT (u.age <> q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.follower_count IS NOT NULL AND q.ind < 3) AND (u.age <> q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧ AS found FROM user u

SELECT u.ind, u.age FROM user u WHERE ⟦u.age > ANY (SELECT q.follower_count FROM pin q WHERE q.ind > 1)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND u.age > q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND (u.age > q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧

SELECT u.ind, u.age FROM user u WHERE NOT (⟦u.age > ANY (SELECT q.follower_count FROM pin q WHERE q.ind = u.ind)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND u.age > q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND (u.age > q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧)

SELECT u.ind, u.age FROM user u WHERE ⟦u.age <= ALL (SELECT q.follower_count FROM pin q WHERE q.ind > 1)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND NOT (u.age <= q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND (u.age <= q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧

SELECT u.ind, u.age FROM user u WHERE NOT (⟦u.age <= ALL (SELECT q.follower_count FROM pin q WHERE q.ind = u.ind)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND NOT (u.age <= q.follower_count)) THEN 0 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND (u.age <= q.follower_count) IS NULL) THEN NULL ELSE 1 END⟧)

SELECT u.ind, u.age FROM user u WHERE ⟦u.age <> ANY (SELECT q.follower_count FROM pin q WHERE q.ind > 1)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND u.age <> q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind > 1) AND (u.age <> q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧

SELECT u.ind, u.age FROM user u WHERE NOT (⟦u.age <> ANY (SELECT q.follower_count FROM pin q WHERE q.ind = u.ind)¦CASE WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND u.age <> q.follower_count) THEN 1 WHEN EXISTS (SELECT 1 FROM pin q WHERE (q.ind = u.ind) AND (u.age <> q.follower_count) IS NULL) THEN NULL ELSE 0 END⟧)

-- Pairs of numbers.

SELECT category, covar_pop(follower_count, ind) AS c, covar_samp(ind, follower_count) AS s, regr_slope(follower_count, ind) AS m, regr_intercept(follower_count, ind) AS b FROM pin GROUP BY category

SELECT ⟦regr_count(follower_count, ind)¦count(follower_count)⟧ AS n, ⟦regr_avgx(follower_count, ind)¦avg(ind) FILTER (WHERE follower_count IS NOT NULL)⟧ AS x, ⟦regr_avgy(follower_count, ind)¦avg(follower_count)⟧ AS y, round(regr_r2(follower_count, ind), 9) AS r, round(corr(ind, follower_count) FILTER (WHERE ind > 1), 9) AS c FROM pin

-- Windows that ignore nulls.

WITH r AS (SELECT ind, follower_count AS f, category AS c, row_number() OVER (ORDER BY ind, follower_count ~, category ~) AS n FROM pin) SELECT n, f, ⟦lag(f) IGNORE NULLS OVER (ORDER BY n)¦(SELECT q.f FROM r q WHERE q.n < r.n AND q.f IS NOT NULL ORDER BY q.n DESC LIMIT 1)⟧ AS v FROM r

WITH r AS (SELECT ind, follower_count AS f, category AS c, row_number() OVER (ORDER BY ind, follower_count ~, category ~) AS n FROM pin) SELECT n, f, ⟦lead(f, 2, -1) IGNORE NULLS OVER (ORDER BY n)¦coalesce((SELECT q.f FROM r q WHERE q.n > r.n AND q.f IS NOT NULL ORDER BY q.n LIMIT 1 OFFSET 1), -1)⟧ AS v FROM r

WITH r AS (SELECT ind, follower_count AS f, category AS c, row_number() OVER (ORDER BY ind, follower_count ~, category ~) AS n FROM pin) SELECT n, f, ⟦lag(f, 0) IGNORE NULLS OVER (ORDER BY n)¦f⟧ AS v FROM r

WITH r AS (SELECT ind, follower_count AS f, category AS c, row_number() OVER (ORDER BY ind, follower_count ~, category ~) AS n FROM pin) SELECT n, f, ⟦first_value(f) IGNORE NULLS OVER (ORDER BY n DESC)¦(SELECT q.f FROM r q WHERE q.n >= r.n AND q.f IS NOT NULL ORDER BY q.n DESC LIMIT 1)⟧ AS v FROM r

WITH r AS (SELECT ind, follower_count AS f, category AS c, row_number() OVER (ORDER BY ind, follower_count ~, category ~) AS n FROM pin) SELECT n, f, ⟦last_value(f) IGNORE NULLS OVER (ORDER BY n)¦(SELECT q.f FROM r q WHERE q.n <= r.n AND q.f IS NOT NULL ORDER BY q.n DESC LIMIT 1)⟧ AS v FROM r

WITH r AS (SELECT ind, follower_count AS f, category AS c, row_number() OVER (ORDER BY ind, follower_count ~, category ~) AS n FROM pin) SELECT n, f, ⟦last_value(f) IGNORE NULLS OVER (ORDER BY n ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)¦(SELECT q.f FROM r q WHERE q.n BETWEEN r.n - 2 AND r.n + 1 AND q.f IS NOT NULL ORDER BY q.n DESC LIMIT 1)⟧ AS v FROM r

WITH r AS (SELECT ind, follower_count AS f, category AS c, row_number() OVER (ORDER BY ind, follower_count ~, category ~) AS n FROM pin) SELECT n, f, ⟦nth_value(f, 2) IGNORE NULLS OVER (PARTITION BY c ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)¦(SELECT q.f FROM r q WHERE q.c IS r.c AND q.f IS NOT NULL ORDER BY q.n LIMIT 1 OFFSET 1)⟧ AS v FROM r
