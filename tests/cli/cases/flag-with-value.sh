eckart svd A.npy --thin=yes
