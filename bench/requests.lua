-- What wrk sends where one fixed request is not enough. Arguments after `--`: FILES DEPTH LAST
--   FILES  how many files of /mix/ are asked for, in a scattered order; 0 asks for the path of the URL alone
--   DEPTH  requests sent together before any answer is read
--   LAST   every LAST-th request asks to close its connection; 0 for none
-- All texts are made before the measuring begins: while it runs, a request costs one look-up.

local batches, next_batch = {}, 0

local function one(number, files, last)
    local path = files > 0 and string.format("/mix/%d.bin", number * 617 % files) or nil
    wrk.headers["Connection"] = last > 0 and number % last == 0 and "close" or nil
    return wrk.format("GET", path)
end

function init(args)
    local files, depth, last = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
    for batch = 1, math.max(files, last, 1) do
        local texts = {}
        for at = 1, depth do
            texts[at] = one(batch * depth + at, files, last)
        end
        batches[batch] = table.concat(texts)
    end
end

function request()
    next_batch = next_batch % #batches + 1
    return batches[next_batch]
end
