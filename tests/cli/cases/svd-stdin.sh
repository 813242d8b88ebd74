eckart svd - --rank 4 <A.npy | grep '^error'
