eckart svd low.npy --reduced
