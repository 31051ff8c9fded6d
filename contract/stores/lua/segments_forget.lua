-- ARGV: 5 key.
if get(ARGV[5], 'status') == 'done' then
  drop(ARGV[5])
end
return 1
