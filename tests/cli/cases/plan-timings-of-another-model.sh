sed 's/encoder/decoder/g' timings.json > other.json
eckart plan model --keep 0.5 --timings other.json
