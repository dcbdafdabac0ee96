-- One row a request: its first predictions, or else its last error. Reads the whole table: for a few days only, ask that.
SELECT *
FROM `${table}`
WHERE request_id IS NOT NULL
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY request_id
  ORDER BY
    CASE status WHEN 'ok' THEN 0 ELSE 1 END,
    CASE status WHEN 'ok' THEN publish_time END,
    publish_time DESC
) = 1
