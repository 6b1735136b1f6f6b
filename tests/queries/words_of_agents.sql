-- Words of user agents, with those that have none
WITH words AS (
    SELECT l.request_verb, t.word, u.letter
    FROM alb_access_logs AS l
    LEFT JOIN UNNEST(array_except(split(l.user_agent, ' '), ARRAY['-'])) AS t (word) ON true,
    UNNEST(ARRAY[substr(t.word, 1, 1), upper(substr(word, 1, 1))], ARRAY[1]) AS u (letter, one)
    WHERE one = 1 OR t.word LIKE 'M%'
)
SELECT word, letter, count(*) AS times, count_if(request_verb = 'POST') AS posts
FROM words
GROUP BY 1, 2
HAVING count(*) > 1
ORDER BY times DESC, word, letter
