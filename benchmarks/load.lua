-- Requests prepared beforehand, one a line: method, path, token, etag, type, body; tabs between, "-" where there is none.
-- Sent in turn from the one that the second argument names; the result is printed as one line of JSON.

local prepared, turn = {}, 0

local function given(field)
  if field ~= "-" then return field end
  return nil
end

local function read(line)
  local method, path, token, etag, kind, body = line:match("^([^\t]+)\t([^\t]+)\t([^\t]+)\t([^\t]+)\t([^\t]+)\t(.+)$")
  local headers = {}
  if given(token) then headers["Authorization"] = "Bearer " .. token end
  if given(etag) then headers["If-None-Match"] = etag end
  if given(body) then headers["Content-Type"] = kind end
  return method, path, headers, given(body)
end

local function next_one()
  turn = turn % #prepared + 1
  return prepared[turn]
end

function init(arguments)
  local last
  for line in io.lines(arguments[1]) do
    prepared[#prepared + 1] = wrk.format(read(line))
    last = line
  end
  turn = tonumber(arguments[2]) % #prepared
  if #prepared > 1 then
    request = next_one
  else
    -- A single request is sent without asking this script again.
    local host = wrk.headers["Host"]
    wrk.method, wrk.path, wrk.headers, wrk.body = read(last)
    wrk.headers["Host"] = host
  end
end

function done(summary, latency, _)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    '\n{"requests":%d,"micros":%d,"bytes":%d,"refused":%d,"broken":%d,"p50":%d,"p95":%d,"p99":%d}\n',
    summary.requests, summary.duration, summary.bytes, errors.status, broken,
    latency:percentile(50), latency:percentile(95), latency:percentile(99)))
end
