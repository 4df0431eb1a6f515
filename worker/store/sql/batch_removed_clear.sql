DELETE FROM batch_removed
