eckart compress model -o out --latency 70% --timings timings.json
