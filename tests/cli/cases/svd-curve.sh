eckart svd low.npy --curve curve.csv -q >/dev/null
cut -d, -f1 curve.csv
