eckart svd A.npy --rank 4 --mask A.npy
