eckart svd A.npy --rank 4 --spectral-proof | grep -A1 '^spectral'
eckart svd A.npy --rank 4 --spectral-proof --json | grep -c '"above"'
