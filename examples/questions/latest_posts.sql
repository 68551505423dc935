-- The twenty latest posts, with their country and the user's name.
SELECT geo.timestamp, geo.country, user.user_name, pin.category, pin.title
FROM pin
JOIN geo USING (ind)
JOIN user USING (ind)
ORDER BY geo.timestamp DESC
LIMIT 20
