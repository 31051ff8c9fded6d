-- Answers 1 when there was such an entry.
return drop(id, '')
