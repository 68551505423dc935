//! Forms of questions that the generator of texts does not make, over random rows: the rows of SQLite.

use proptest::prelude::*;

use super::sqlite::{arb_tables, case_count, compare};

/// Texts that SQLite takes as they are, and means as we do.
const TEXTS: [&str; 49] = [
    "SELECT p.ind FROM pin p WHERE EXISTS (SELECT 1 FROM pin q WHERE q.category = p.category AND q.ind <> p.ind AND q.follower_count > p.follower_count)",
    "SELECT ind FROM user WHERE age > (SELECT avg(age) FROM user) AND ind NOT IN (SELECT ind FROM pin WHERE category IS NULL)",
    "SELECT ind FROM geo WHERE (country, ind) IN (SELECT country, max(ind) FROM geo GROUP BY country)",
    "SELECT a.country AS c1, b.country AS c2, count(*) AS n FROM geo a LEFT JOIN geo b ON a.ind = b.ind + 1 GROUP BY 1, 2",
    "SELECT g.country, p.category, count(*) AS n, rank() OVER (PARTITION BY g.country ORDER BY count(*) DESC) AS r FROM pin p JOIN geo g ON g.ind = p.ind GROUP BY g.country, p.category",
    "SELECT u.ind, (SELECT count(*) FROM pin p WHERE p.ind = u.ind) + (SELECT count(*) FROM geo g WHERE g.ind = u.ind) AS n FROM user u",
    "SELECT x.k AS k1, y.k AS k2 FROM (SELECT DISTINCT age % 5 AS k FROM user) AS x FULL JOIN (SELECT DISTINCT follower_count % 5 AS k FROM pin) AS y ON x.k = y.k",
    "SELECT category, (SELECT count(*) FROM geo WHERE geo.ind = pin.ind) AS n FROM pin",
    "SELECT category, (SELECT max(age) + count(*) FROM user u WHERE u.ind = pin.ind) AS n FROM pin",
    "SELECT category, (SELECT coalesce(sum(age), -1) FROM user u WHERE u.ind = pin.ind AND u.age > 1) AS n FROM pin",
    "SELECT category, (SELECT max(age) FROM user) AS n FROM pin",
    "SELECT category, count(*) AS n FROM pin GROUP BY category HAVING count(*) > (SELECT avg(c) FROM (SELECT count(*) AS c FROM pin GROUP BY category) AS q)",
    "SELECT category, count(*) AS n, (SELECT count(*) FROM geo WHERE geo.country = pin.category) AS m FROM pin GROUP BY category",
    "SELECT category, category IN (SELECT country FROM geo) AS known, category NOT IN (SELECT country FROM geo WHERE country IS NOT NULL) AS other FROM pin",
    "SELECT category, max(follower_count) IN (SELECT age FROM user) AS known FROM pin GROUP BY category",
    "SELECT ind, CASE WHEN EXISTS (SELECT 1 FROM geo g WHERE g.ind = pin.ind) THEN 1 ELSE 0 END AS placed FROM pin",
    "SELECT ind, CASE WHEN EXISTS (SELECT 1 FROM geo) THEN 1 ELSE 0 END AS any_place FROM pin",
    "SELECT ind FROM pin WHERE EXISTS (SELECT 1 FROM geo) AND NOT EXISTS (SELECT 1 FROM user WHERE age > 2)",
    "SELECT ind FROM pin WHERE ind IN (SELECT ind FROM geo WHERE country IN (SELECT category FROM pin WHERE follower_count = 1))",
    "SELECT p.ind FROM pin p WHERE EXISTS (SELECT 1 FROM geo g WHERE g.ind = p.ind AND EXISTS (SELECT 1 FROM user u WHERE u.ind = g.ind))",
    "SELECT p.ind FROM pin p WHERE EXISTS (SELECT 1 FROM user u WHERE u.ind = p.ind AND u.age > p.follower_count)",
    "SELECT p.ind FROM pin p WHERE NOT EXISTS (SELECT 1 FROM user u WHERE u.ind = p.ind AND u.age <= p.follower_count)",
    "SELECT p.ind FROM pin p WHERE p.follower_count = (SELECT max(q.follower_count) FROM pin q WHERE q.category = p.category)",
    "SELECT p.ind FROM pin p WHERE p.ind IN (SELECT max(q.ind) FROM pin q WHERE q.category = p.category GROUP BY q.follower_count)",
    "SELECT * FROM (SELECT ind, category FROM pin) AS q JOIN (SELECT ind, country FROM geo) AS r USING (ind)",
    "SELECT ind, category, country FROM (SELECT ind, category FROM pin) AS p NATURAL JOIN (SELECT ind, country FROM geo) AS g",
    "SELECT ind, p.category, g.country FROM pin p FULL JOIN geo g USING (ind)",
    "SELECT ind, g.ind AS other FROM pin p RIGHT JOIN geo g USING (ind) WHERE ind > 1",
    "SELECT p.ind AS a, g.ind AS b FROM pin p FULL JOIN geo g ON p.ind = g.ind WHERE p.follower_count > 0",
    "SELECT p.ind AS a, g.ind AS b FROM pin p FULL JOIN geo g ON p.ind = g.ind WHERE p.ind IS NULL OR g.ind IS NULL",
    "SELECT p.ind AS a FROM pin p LEFT JOIN geo g ON p.ind = g.ind AND g.country = 'a' LEFT JOIN user u ON u.ind = g.ind WHERE u.age IS NULL",
    "SELECT DISTINCT category FROM pin ORDER BY category",
    "SELECT category AS c, count(*) AS n FROM pin GROUP BY c HAVING n > 1 ORDER BY 2, c",
    "SELECT upper(category) AS c, sum(follower_count) * 2 + count(*) AS n FROM pin GROUP BY 1",
    "SELECT category, count(*) AS n FROM pin GROUP BY category ORDER BY n DESC, category NULLS LAST LIMIT 2",
    "SELECT category, count(*) AS n FROM pin GROUP BY category ORDER BY n DESC, category NULLS LAST LIMIT 2 OFFSET 1",
    "WITH a AS (SELECT category AS c FROM pin), b AS (SELECT c, count(*) AS n FROM a GROUP BY c) SELECT a.c, b.n FROM a JOIN b ON a.c = b.c",
    "SELECT max(n) AS m FROM (SELECT count(*) AS n FROM pin GROUP BY category) AS q",
    "SELECT category FROM pin UNION SELECT country FROM geo EXCEPT SELECT user_name FROM user",
    "SELECT follower_count AS v FROM pin INTERSECT SELECT age FROM user",
    "SELECT count(*) FILTER (WHERE follower_count > 1) AS a, sum(follower_count) FILTER (WHERE category = 'a') AS b, count(DISTINCT category) AS c FROM pin",
    "SELECT category, follower_count, row_number() OVER (PARTITION BY category ORDER BY follower_count NULLS LAST, ind) AS r, sum(follower_count) OVER (PARTITION BY category ORDER BY ind) AS s FROM pin",
    "SELECT category, sum(count(*)) OVER (ORDER BY category NULLS LAST) AS running FROM pin GROUP BY category",
    "SELECT c, n FROM (SELECT category AS c, count(*) AS n, rank() OVER (ORDER BY count(*) DESC) AS r FROM pin GROUP BY category) AS q WHERE r = 1 AND c > 'a'",
    "SELECT category, max(ind) OVER w AS m, lag(ind, 1, -1) OVER w AS l FROM pin WINDOW w AS (PARTITION BY category ORDER BY ind, follower_count NULLS LAST)",
    "SELECT 1 AS one, 'a' AS letter WHERE 1 = 1",
    "SELECT v.column1 AS a FROM (VALUES (1), (2), (NULL)) AS v WHERE v.column1 IN (SELECT ind FROM pin)",
    "SELECT p.ind, m.top FROM pin p CROSS JOIN (SELECT max(follower_count) AS top FROM pin) AS m WHERE p.follower_count = m.top",
    "SELECT p.ind FROM pin p, geo g, user u WHERE p.ind = u.ind AND u.ind = g.ind AND g.country = p.category",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: case_count().min(2000) / 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fixed_questions_give_the_rows_of_sqlite(tables in arb_tables()) {
        for sql in TEXTS {
            compare(&tables, sql);
        }
    }
}
