eckart svd ring.mtx --rank 3
cat ring.mtx | eckart svd - --rank 3 --json | grep -c '"rank": 3'
