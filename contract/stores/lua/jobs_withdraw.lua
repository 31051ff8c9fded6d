-- A queued job that nobody was told of goes as if it had never been.  Answers 1, or 0 when somebody knows it.
if get('status') ~= 'queued' or get('told') or follows() then
  return 0
end
hand_over()
move('queued', 'cancelled')
lead_no_more()
erase()
return 1
