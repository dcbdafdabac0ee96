-- One row per image request, the same that the client keeps: the first predictions, else the first error that is not
-- `unavailable`. It reads the whole table: for a few days, query the table itself.
SELECT *
FROM `${table}`
WHERE request_id IS NOT NULL
  AND JSON_VALUE(attributes, '$.kind') IS NULL  -- answers to training requests have a kind
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY request_id
  ORDER BY
    CASE WHEN status = 'ok' THEN 0 WHEN error.code = 'unavailable' THEN 2 ELSE 1 END,
    publish_time
) = 1
