eckart svd A.npy --rank 4 --explain 2>&1 >/dev/null | grep -E 'engine|eigenvalues|proof'
