SELECT c.status, max(m.name || ' ' || m.version), count(*)
FROM compared c
LEFT JOIN models m ON m.id = c.before_model AND c.status = 'compared'
GROUP BY c.status, m.id
ORDER BY count(*) DESC, m.id
